"""Print how the code hangs together: circles of imports, files to touch for an addition, the path of a loading.

python tools/structure.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools import imports, stops, where_to_add

if __name__ == "__main__":
    for tool in (imports, where_to_add, stops):
        tool.main()
        print()
