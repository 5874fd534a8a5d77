"""Files: tensors in safetensors, checkpoints of a run."""

from minidl.io import checkpoint as checkpoint
from minidl.io.atomic import write_atomically as write_atomically
from minidl.io.errors import BadFile as BadFile
from minidl.io.errors import Mismatch as Mismatch
from minidl.io.onnx_export import export_onnx as export_onnx
from minidl.io.onnx_trace import NotExportable as NotExportable
from minidl.io.tensors import load_safetensors as load_safetensors
from minidl.io.tensors import save_safetensors as save_safetensors
