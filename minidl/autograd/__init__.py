"""The tape: operations, the backward walk, modes, the recorder, gradient checks."""

from minidl.autograd import functional as functional
from minidl.autograd.check import GradcheckError as GradcheckError
from minidl.autograd.check import gradcheck as gradcheck
from minidl.autograd.check import gradgradcheck as gradgradcheck
from minidl.autograd.check import numerical_jacobian as numerical_jacobian
from minidl.autograd.differentiate import backward as backward
from minidl.autograd.differentiate import grad as grad
from minidl.autograd.function import Function as Function
from minidl.autograd.modes import detect_anomaly as detect_anomaly
from minidl.autograd.modes import enable_grad as enable_grad
from minidl.autograd.modes import inference_mode as inference_mode
from minidl.autograd.modes import is_grad_enabled as is_grad_enabled
from minidl.autograd.modes import no_grad as no_grad
from minidl.autograd.modes import set_grad_enabled as set_grad_enabled
from minidl.autograd.recorder import Recorder as Recorder
from minidl.autograd.recorder import record as record
from minidl.autograd.variable import Variable as Variable
