"""A page on this computer that recognizes who looks into the camera; nothing leaves the machine."""

from minidl.faces.live.desk import Desk as Desk
from minidl.faces.live.quick import quick_recognizer as quick_recognizer
from minidl.faces.live.server import LiveServer as LiveServer
from minidl.faces.live.server import require_live as require_live
