"""Environment variables for foreign programs, as a list of allowed names, so that no secret is passed by accident.

Foreign programs are models in other environments, pip and `nvidia-smi`. None of them gets HF_TOKEN, cloud credentials
or other keys. Further variables are passed by name. Files are not protected: the programs run as the same user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_SYSTEM: Final = """
    PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR TMP TEMP TERM COLORTERM COLUMNS LINES NO_COLOR FORCE_COLOR
    XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_RUNTIME_DIR LD_LIBRARY_PATH DYLD_LIBRARY_PATH
    SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT OS USERNAME USERPROFILE HOMEDRIVE HOMEPATH APPDATA LOCALAPPDATA
    PROGRAMDATA PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 COMMONPROGRAMFILES NUMBER_OF_PROCESSORS
    PROCESSOR_ARCHITECTURE
"""
_DEVICES: Final = """
    NVIDIA_VISIBLE_DEVICES NVIDIA_DRIVER_CAPABILITIES NVIDIA_TF32_OVERRIDE HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES
    ZE_AFFINITY_MASK HSA_OVERRIDE_GFX_VERSION
"""
_CACHES: Final = """
    HF_HOME HF_HUB_CACHE HF_ASSETS_CACHE HF_XET_CACHE HF_DATASETS_CACHE HF_ENDPOINT HF_HUB_OFFLINE HF_DATASETS_OFFLINE
    HF_HUB_DISABLE_PROGRESS_BARS HF_HUB_DISABLE_TELEMETRY HF_HUB_DISABLE_SYMLINKS_WARNING HF_HUB_DOWNLOAD_TIMEOUT
    HF_HUB_ETAG_TIMEOUT HUGGINGFACE_HUB_CACHE TRANSFORMERS_CACHE TRANSFORMERS_OFFLINE TRANSFORMERS_VERBOSITY
    TOKENIZERS_PARALLELISM TORCH_HOME TORCH_EXTENSIONS_DIR TRITON_CACHE_DIR MPLCONFIGDIR
"""
_NETWORK: Final = """
    HTTP_PROXY HTTPS_PROXY ALL_PROXY FTP_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
"""
_NAMES: Final = frozenset(f"{_SYSTEM}{_DEVICES}{_CACHES}{_NETWORK}".split())
# Threads and devices of numeric libraries, each with dozens of variables.
_PREFIXES: Final = (
    "LC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "VECLIB_", "NUMEXPR_", "CUDA_", "PYTORCH_",
)  # fmt: skip
_INSTALLERS: Final = ("PIP_", "UV_", "DEBIAN_", "APT_")
_SECRET: Final = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH")
_USER_IN_ADDRESS: Final = re.compile(r"(?<=://)[^/@\s]*@")


def foreign_environment(
    ours: Mapping[str, str], more: Mapping[str, str] | None = None, *, installs: bool = False
) -> dict[str, str]:
    """The variables of `ours` that a foreign program gets, with `more`.

    User names and passwords are removed from addresses. A program that `installs` packages (pip, uv, apt) gets them,
    and its own settings, to reach proxy and index; it does not get its secrets for publishing.
    """
    passed = {name: value for name, value in ours.items() if _is_passed(name.upper(), installs=installs)}
    if not installs:
        passed = {name: _without_user(name, value) for name, value in passed.items()}
    return {**passed, **(more or {})}


def _is_passed(name: str, *, installs: bool) -> bool:
    if name in _NAMES:
        return True
    if installs and name.startswith(_INSTALLERS):
        return "PUBLISH" not in name
    return name.startswith(_PREFIXES) and not _SECRET.search(name)


def _without_user(name: str, value: str) -> str:
    if name.upper().endswith("_PROXY") and "://" not in value:
        return value.rpartition("@")[2]
    return _USER_IN_ADDRESS.sub("", value)
