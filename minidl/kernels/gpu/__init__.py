"""The same functions as CUDA kernels of our own, for arrays on a GPU; other dtypes go to `portable`.

One `.cu` file an idea, its formula at the top; `launcher` starts them. No kernel adds floats atomically: sums are made
in an order that does not change, so that two runs give the same bits.
"""

from minidl.kernels.gpu.attention import attention as attention
from minidl.kernels.gpu.attention import attention_grad as attention_grad
from minidl.kernels.gpu.convolution import conv2d as conv2d
from minidl.kernels.gpu.convolution import conv2d_input_grad as conv2d_input_grad
from minidl.kernels.gpu.convolution import conv2d_weight_grad as conv2d_weight_grad
from minidl.kernels.gpu.fused import conv2d_relu_max_pool2d as conv2d_relu_max_pool2d
from minidl.kernels.gpu.fused import conv2d_relu_max_pool2d_grad as conv2d_relu_max_pool2d_grad
from minidl.kernels.gpu.layer_norm import layer_norm as layer_norm
from minidl.kernels.gpu.layer_norm import layer_norm_grad as layer_norm_grad
from minidl.kernels.gpu.linalg import linear as linear
from minidl.kernels.gpu.linalg import matmul as matmul
from minidl.kernels.gpu.loss import softmax_cross_entropy as softmax_cross_entropy
from minidl.kernels.gpu.loss import softmax_cross_entropy_grad as softmax_cross_entropy_grad
from minidl.kernels.gpu.normalization import batch_norm as batch_norm
from minidl.kernels.gpu.normalization import batch_norm_grad as batch_norm_grad
from minidl.kernels.gpu.normalization import batch_norm_stats as batch_norm_stats
from minidl.kernels.gpu.pooling import avg_pool2d as avg_pool2d
from minidl.kernels.gpu.pooling import avg_pool2d_grad as avg_pool2d_grad
from minidl.kernels.gpu.pooling import gather_windows as gather_windows
from minidl.kernels.gpu.pooling import max_pool2d as max_pool2d
from minidl.kernels.gpu.pooling import scatter_windows as scatter_windows
from minidl.kernels.gpu.random import count_on as count_on
from minidl.kernels.gpu.random import dropout_mask as dropout_mask
from minidl.kernels.gpu.random import philox_words as philox_words
from minidl.kernels.gpu.rectify import relu as relu
from minidl.kernels.gpu.rectify import relu_grad as relu_grad
from minidl.kernels.gpu.recurrent import gru_steps as gru_steps
from minidl.kernels.gpu.recurrent import gru_steps_grad as gru_steps_grad
from minidl.kernels.gpu.recurrent import lstm_steps as lstm_steps
from minidl.kernels.gpu.recurrent import lstm_steps_grad as lstm_steps_grad
from minidl.kernels.gpu.recurrent import rnn_steps as rnn_steps
from minidl.kernels.gpu.recurrent import rnn_steps_grad as rnn_steps_grad
from minidl.kernels.gpu.scatter import add_rows as add_rows
from minidl.kernels.gpu.unfold import col2im as col2im
from minidl.kernels.gpu.unfold import im2col as im2col
from minidl.kernels.gpu.updates import adam_update as adam_update
from minidl.kernels.gpu.updates import sgd_update as sgd_update
