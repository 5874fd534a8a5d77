"""Who is known: people and the embeddings of their faces, in one small file or in memory."""

from minidl.faces.gallery.gallery import Candidate as Candidate
from minidl.faces.gallery.gallery import Gallery as Gallery
from minidl.faces.gallery.records import Name as Name
