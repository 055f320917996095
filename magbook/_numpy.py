"""The functions of numpy as they were when the package was imported, which is before a student's cells: a check looks whether they still are."""

import numpy as np

NUMPY = {prefix + name: (module, one) for module, prefix in ((np, ""), (np.linalg, "linalg."), (np.testing, "testing."))
         for name, one in vars(module).items() if callable(one) and not name.startswith("_")}
