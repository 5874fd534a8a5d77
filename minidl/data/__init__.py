"""Datasets, the orders they are read in, batches of them, and transforms of pictures."""

from minidl.data import transforms as transforms
from minidl.data.cifar10 import CIFAR10 as CIFAR10
from minidl.data.collate import default_collate as default_collate
from minidl.data.dataset import ConcatDataset as ConcatDataset
from minidl.data.dataset import Dataset as Dataset
from minidl.data.dataset import Key as Key
from minidl.data.dataset import Subset as Subset
from minidl.data.dataset import TensorDataset as TensorDataset
from minidl.data.dataset import TransformedDataset as TransformedDataset
from minidl.data.dataset import random_split as random_split
from minidl.data.loader import DataLoader as DataLoader
from minidl.data.sampler import BalancedSampler as BalancedSampler
from minidl.data.sampler import BatchSampler as BatchSampler
from minidl.data.sampler import ClassBatchSampler as ClassBatchSampler
from minidl.data.sampler import RandomSampler as RandomSampler
from minidl.data.sampler import Sampler as Sampler
from minidl.data.sampler import SequentialSampler as SequentialSampler
from minidl.data.sampler import WeightedRandomSampler as WeightedRandomSampler
