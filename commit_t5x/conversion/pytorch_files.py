"""Reads PyTorch's .bin and .pth files one tensor at a time, through the extra `convert`."""

import importlib
import pathlib
import pickle
import types
from collections.abc import Sequence

import ml_dtypes
import numpy as np

from commit_t5x.errors import InputError


def require_torch(purpose: str) -> types.ModuleType:
    """Imports torch.

    Args:
      purpose: the file or flag that needs it; begins the error.

    Raises:
      InputError: it isn't installed.
    """
    try:
        return importlib.import_module("torch")
    except ModuleNotFoundError as error:
        raise InputError(
            f"{purpose}: needs torch, which isn't installed; pip install 'commit-t5x[convert]'"
        ) from error


class Reader:
    """The tensors of several files of one model; each is read when asked for.

    Nothing but tensors is unpickled.

    Attributes:
      shapes: by name, in the files' order.
      dtypes: by name, in NumPy's terms.
    """

    def __init__(self, paths: Sequence[pathlib.Path]):
        """Opens the files.

        Raises:
          InputError: one can't be read, holds something else than floating tensors, or a tensor
            that another one holds too; or torch isn't installed.
        """
        self._torch = require_torch(str(paths[0]))
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        self._files: dict[str, pathlib.Path] = {}
        for path in paths:
            for name, tensor in self._load(path).items():
                if name in self.shapes:
                    raise InputError(f"{path}: {name} also stands in another file; remove one")
                if not self._torch.is_tensor(tensor) or not tensor.is_floating_point():
                    raise InputError(
                        f"{path}: {name} is no floating tensor; only unquantised weights convert"
                    )
                self.shapes[name] = tuple(tensor.shape)
                self.dtypes[name] = str(tensor.dtype).removeprefix("torch.")
                self._files[name] = path

    def get(self, name: str) -> np.ndarray:
        """Returns one tensor in the dtype that it is stored in."""
        # The file is mapped anew for each tensor, as its pages count as memory until it is closed.
        tensor = self._load(self._files[name])[name].detach()
        if tensor.dtype == self._torch.bfloat16:
            return tensor.view(self._torch.uint16).numpy().view(ml_dtypes.bfloat16)
        return tensor.numpy()

    def _load(self, path: pathlib.Path) -> dict:
        try:
            content = self._torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            problem = str(error).partition("\n")[0][:200]
            raise InputError(
                f"{path}: not a readable PyTorch file of tensors ({problem}); fetch it again, or "
                "load it with the torch that wrote it and torch.save its state_dict anew"
            ) from error
        if not isinstance(content, dict):
            raise InputError(f"{path}: holds no state_dict; torch.save the model's state_dict")
        return content
