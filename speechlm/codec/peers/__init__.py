"""Other projects' codecs behind the codec seam, one file a package: the extra ``[peers]``."""
