// Windows of KH×KW pixels, SH×SW apart, over an H×W plane: pixel (i, j) of window (oh, ow) is pixel
// (oh·SH − top + i·DH, ow·SW − left + j·DW) of the plane, which may lie outside. See geometry.py.
struct Windows {
    int H, W, KH, KW, SH, SW, top, bottom, left, right, DH, DW, OH, OW;
};

__device__ inline bool inside(int h, int w, const Windows& v) { return 0 <= h && h < v.H && 0 <= w && w < v.W; }
