"""The operations that PyTorch keeps in `torch.nn.functional`, under the same names.

Usually imported as `import minidl.nn.functional as F`.
"""

from minidl.ops.activation import elu as elu
from minidl.ops.activation import gelu as gelu
from minidl.ops.activation import leaky_relu as leaky_relu
from minidl.ops.activation import log_softmax as log_softmax
from minidl.ops.activation import relu as relu
from minidl.ops.activation import sigmoid as sigmoid
from minidl.ops.activation import silu as silu
from minidl.ops.activation import softmax as softmax
from minidl.ops.activation import softplus as softplus
from minidl.ops.activation import tanh as tanh
from minidl.ops.adaptive_pooling import adaptive_avg_pool1d as adaptive_avg_pool1d
from minidl.ops.adaptive_pooling import adaptive_avg_pool2d as adaptive_avg_pool2d
from minidl.ops.adaptive_pooling import adaptive_max_pool1d as adaptive_max_pool1d
from minidl.ops.adaptive_pooling import adaptive_max_pool2d as adaptive_max_pool2d
from minidl.ops.attention import attention_weights as attention_weights
from minidl.ops.attention import scaled_dot_product_attention as scaled_dot_product_attention
from minidl.ops.binary_loss import binary_cross_entropy as binary_cross_entropy
from minidl.ops.binary_loss import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from minidl.ops.columns import fold as fold
from minidl.ops.columns import unfold as unfold
from minidl.ops.convolution import conv1d as conv1d
from minidl.ops.convolution import conv2d as conv2d
from minidl.ops.convolution import conv_transpose1d as conv_transpose1d
from minidl.ops.convolution import conv_transpose2d as conv_transpose2d
from minidl.ops.convolution_pooling import conv2d_relu_max_pool2d as conv2d_relu_max_pool2d
from minidl.ops.distance_loss import huber_loss as huber_loss
from minidl.ops.distance_loss import kl_div as kl_div
from minidl.ops.distance_loss import l1_loss as l1_loss
from minidl.ops.distance_loss import mse_loss as mse_loss
from minidl.ops.distance_loss import smooth_l1_loss as smooth_l1_loss
from minidl.ops.dropout import dropout as dropout
from minidl.ops.dropout import dropout1d as dropout1d
from minidl.ops.dropout import dropout2d as dropout2d
from minidl.ops.index import one_hot as one_hot
from minidl.ops.linalg import linear as linear
from minidl.ops.loss import cross_entropy as cross_entropy
from minidl.ops.loss import nll_loss as nll_loss
from minidl.ops.normalization import batch_norm as batch_norm
from minidl.ops.normalization import group_norm as group_norm
from minidl.ops.normalization import instance_norm as instance_norm
from minidl.ops.normalization import layer_norm as layer_norm
from minidl.ops.pooling import avg_pool1d as avg_pool1d
from minidl.ops.pooling import avg_pool2d as avg_pool2d
from minidl.ops.pooling import max_pool1d as max_pool1d
from minidl.ops.pooling import max_pool2d as max_pool2d
from minidl.ops.scaling import normalize as normalize
from minidl.ops.scaling import rms_norm as rms_norm
from minidl.ops.shape import pad as pad
