"""The formulas as plain Python loops: slow, exact to a rounding of the result, and the oracle of every other room."""

from minidl.kernels.reference.convolution import conv2d as conv2d
from minidl.kernels.reference.convolution import conv2d_input_grad as conv2d_input_grad
from minidl.kernels.reference.convolution import conv2d_weight_grad as conv2d_weight_grad
from minidl.kernels.reference.fused import conv2d_relu_max_pool2d as conv2d_relu_max_pool2d
from minidl.kernels.reference.fused import conv2d_relu_max_pool2d_grad as conv2d_relu_max_pool2d_grad
from minidl.kernels.reference.linalg import matmul as matmul
from minidl.kernels.reference.normalization import batch_norm as batch_norm
from minidl.kernels.reference.normalization import batch_norm_grad as batch_norm_grad
from minidl.kernels.reference.normalization import batch_norm_stats as batch_norm_stats
from minidl.kernels.reference.pooling import avg_pool2d as avg_pool2d
from minidl.kernels.reference.pooling import avg_pool2d_grad as avg_pool2d_grad
from minidl.kernels.reference.pooling import gather_windows as gather_windows
from minidl.kernels.reference.pooling import max_pool2d as max_pool2d
from minidl.kernels.reference.pooling import scatter_windows as scatter_windows
from minidl.kernels.reference.rectify import relu as relu
from minidl.kernels.reference.rectify import relu_grad as relu_grad
from minidl.kernels.reference.recurrent import gru_steps as gru_steps
from minidl.kernels.reference.recurrent import gru_steps_grad as gru_steps_grad
from minidl.kernels.reference.recurrent import lstm_steps as lstm_steps
from minidl.kernels.reference.recurrent import lstm_steps_grad as lstm_steps_grad
from minidl.kernels.reference.recurrent import rnn_steps as rnn_steps
from minidl.kernels.reference.recurrent import rnn_steps_grad as rnn_steps_grad
from minidl.kernels.reference.unfold import col2im as col2im
from minidl.kernels.reference.unfold import im2col as im2col
