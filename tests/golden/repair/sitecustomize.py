"""Read by the include server of ``distcc-pump`` when it starts, if this directory is on PYTHONPATH.

The extension module that it comes with on Debian 12 cannot be called on Python 3.11 where arguments or results are
text with a length: four functions, for which Python and our LZO stand in here.
"""

import os
import sys

sys.path[:0] = ["/usr/lib/python3/dist-packages/include_server", os.environ["LZALLRIGHT_DIRECTORY"]]
import distcc_pump_c_extensions as extension  # noqa: E402
import lzallright  # noqa: E402

del sys.path[:2]
extension.CompressLzo1xAlloc = lambda text: lzallright.LZOCompressor().compress(text.encode("latin-1"))
extension.OsPathExists = os.path.exists
extension.OsPathIsFile = os.path.isfile
extension.Realpath = os.path.realpath
