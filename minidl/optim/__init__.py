"""Optimizers and schedules."""

from minidl.optim import lr_scheduler as lr_scheduler
from minidl.optim.adam import Adam as Adam
from minidl.optim.adam import AdamW as AdamW
from minidl.optim.adam import NAdam as NAdam
from minidl.optim.adaptive import Adadelta as Adadelta
from minidl.optim.adaptive import Adagrad as Adagrad
from minidl.optim.adaptive import RMSprop as RMSprop
from minidl.optim.optimizer import Optimizer as Optimizer
from minidl.optim.progress import EarlyStopping as EarlyStopping
from minidl.optim.progress import History as History
from minidl.optim.sgd import SGD as SGD
