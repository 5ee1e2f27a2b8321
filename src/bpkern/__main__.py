"""python -m bpkern"""

from .cli import main

raise SystemExit(main())
