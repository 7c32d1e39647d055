"""What can go wrong with a person's data or machine; every text says what happened and what to do next."""


class TransferLabError(Exception):
    """A cause that a person can act on. Pages catch this class and show its text."""


class ImageError(TransferLabError):
    """One picture cannot be used."""


class ArchiveError(TransferLabError):
    """A ZIP file cannot be read."""


class DatasetError(TransferLabError):
    """The pictures and classes do not allow what was asked."""


class DownloadError(TransferLabError):
    """A published file cannot be fetched, or what came is not that file."""


class WeightsError(TransferLabError):
    """Pre-trained weights are missing or wrong."""


class RunError(TransferLabError):
    """A training run cannot start or go on."""


class FrozenPartError(RunError):
    """The compiled frozen part of a model is missing or damaged; it can be made again from the backbone's weights."""


class StorageError(TransferLabError):
    """The data root cannot be used (full, read-only, from a newer version)."""


class FullDiskError(StorageError):
    """There is no room on the disk; the same may be written later."""


class QuotaError(TransferLabError):
    """A person has as much as one may have here."""


class NotFoundError(TransferLabError):
    """A project or run does not exist, or belongs to someone else."""


class GuestError(TransferLabError):
    """Somebody looks at a project that is not theirs, and tried to change it."""


class ShutOutError(TransferLabError):
    """Somebody tried to change something by a page that is older than the end of their right to do so."""


class RemovedError(TransferLabError):
    """The teacher has removed this person from the class."""


class LockedError(TransferLabError):
    """The teacher has locked what was to be changed or started."""


class ConflictError(TransferLabError):
    """Someone else, or another tab, changed the same thing first."""


class UnreadableError(TransferLabError, ValueError):
    """Something stored is damaged, of a newer version, or holds what this version does not know."""
