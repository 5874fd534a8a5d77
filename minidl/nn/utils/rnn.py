"""What PyTorch calls `nn.utils.rnn`; the code is in `minidl.nn.packing`."""

from minidl.nn.packing import PackedSequence as PackedSequence
from minidl.nn.packing import pack_padded_sequence as pack_padded_sequence
from minidl.nn.packing import pack_sequence as pack_sequence
from minidl.nn.packing import pad_packed_sequence as pad_packed_sequence
from minidl.nn.packing import pad_sequence as pad_sequence
from minidl.nn.packing import unpad_sequence as unpad_sequence
