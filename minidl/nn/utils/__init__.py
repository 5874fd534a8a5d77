"""What PyTorch calls `nn.utils`; the code is in the files named below."""

from minidl.nn.clipping import clip_grad_norm_ as clip_grad_norm_
from minidl.nn.clipping import clip_grad_value_ as clip_grad_value_
from minidl.nn.utils import rnn as rnn
from minidl.nn.vectors import parameters_to_vector as parameters_to_vector
from minidl.nn.vectors import vector_to_parameters as vector_to_parameters
