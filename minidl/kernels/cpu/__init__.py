"""The same functions compiled by Numba for float32 and float64, on our own threads; other dtypes go to `portable`."""

from minidl.kernels.cpu import waiting as waiting  # tells our threads how to wait
from minidl.kernels.cpu.attention import attention as attention
from minidl.kernels.cpu.attention import attention_grad as attention_grad
from minidl.kernels.cpu.convolution import conv2d as conv2d
from minidl.kernels.cpu.convolution import conv2d_input_grad as conv2d_input_grad
from minidl.kernels.cpu.convolution import conv2d_weight_grad as conv2d_weight_grad
from minidl.kernels.cpu.fused import conv2d_relu_max_pool2d as conv2d_relu_max_pool2d
from minidl.kernels.cpu.fused import conv2d_relu_max_pool2d_grad as conv2d_relu_max_pool2d_grad
from minidl.kernels.cpu.gru import gru_steps as gru_steps
from minidl.kernels.cpu.gru import gru_steps_grad as gru_steps_grad
from minidl.kernels.cpu.layer_norm import layer_norm as layer_norm
from minidl.kernels.cpu.layer_norm import layer_norm_grad as layer_norm_grad
from minidl.kernels.cpu.linalg import linear as linear
from minidl.kernels.cpu.linalg import matmul as matmul
from minidl.kernels.cpu.loss import softmax_cross_entropy as softmax_cross_entropy
from minidl.kernels.cpu.loss import softmax_cross_entropy_grad as softmax_cross_entropy_grad
from minidl.kernels.cpu.normalization import batch_norm as batch_norm
from minidl.kernels.cpu.normalization import batch_norm_grad as batch_norm_grad
from minidl.kernels.cpu.normalization import batch_norm_stats as batch_norm_stats
from minidl.kernels.cpu.pooling import avg_pool2d as avg_pool2d
from minidl.kernels.cpu.pooling import avg_pool2d_grad as avg_pool2d_grad
from minidl.kernels.cpu.pooling import gather_windows as gather_windows
from minidl.kernels.cpu.pooling import max_pool2d as max_pool2d
from minidl.kernels.cpu.pooling import scatter_windows as scatter_windows
from minidl.kernels.cpu.rectify import relu as relu
from minidl.kernels.cpu.rectify import relu_grad as relu_grad
from minidl.kernels.cpu.recurrent import lstm_steps as lstm_steps
from minidl.kernels.cpu.recurrent import lstm_steps_grad as lstm_steps_grad
from minidl.kernels.cpu.recurrent import rnn_steps as rnn_steps
from minidl.kernels.cpu.recurrent import rnn_steps_grad as rnn_steps_grad
from minidl.kernels.cpu.unfold import col2im as col2im
from minidl.kernels.cpu.unfold import im2col as im2col
from minidl.kernels.cpu.updates import adam_update as adam_update
from minidl.kernels.cpu.updates import sgd_update as sgd_update
from minidl.kernels.portable.scatter import add_rows as add_rows
