"""python -m bpkern"""

from ._cli import main

raise SystemExit(main())
