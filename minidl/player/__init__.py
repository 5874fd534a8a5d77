"""The player: record what the engine does, and step through it forwards and backwards, in a page or a terminal."""

from minidl.player.mathml import mathml as mathml
from minidl.player.page import page_html as page_html
from minidl.player.tape import Tape as Tape
from minidl.player.tape import record as record
from minidl.player.terminal import play as play
from minidl.player.trace import Trace as Trace
