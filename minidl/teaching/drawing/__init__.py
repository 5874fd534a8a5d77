"""Drawings as SVG and as characters. They carry symbols and numbers only; captions belong in the text."""

from minidl.teaching.drawing.bars import bars as bars
from minidl.teaching.drawing.canvas import Drawing as Drawing
from minidl.teaching.drawing.canvas import beside as beside
from minidl.teaching.drawing.contour import contour as contour
from minidl.teaching.drawing.curves import curves as curves
from minidl.teaching.drawing.curves import points as points
from minidl.teaching.drawing.foreign import from_matplotlib as from_matplotlib
from minidl.teaching.drawing.graph import graph as graph
from minidl.teaching.drawing.heat import heat as heat
from minidl.teaching.drawing.heat import image as image
from minidl.teaching.drawing.heat import window as window
