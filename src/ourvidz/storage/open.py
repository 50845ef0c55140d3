"""The storage that the settings name."""

from __future__ import annotations

from ourvidz.catalog.config import Settings, StorageConfig, catalogue_of
from ourvidz.core.errors import ConfigInvalid, StorageFailed
from ourvidz.storage.faults import storage_errors_as_ours
from ourvidz.storage.local import LocalStorage
from ourvidz.storage.presign import Credentials
from ourvidz.storage.s3 import S3Place, S3Storage
from ourvidz.storage.store import AssetStorage
from ourvidz.storage.urls import UrlSigner, load_secret

_ASSETS = "assets"
_SECRET = "secret"


def open_storage(settings: Settings) -> AssetStorage:
    """Return the storage of these settings; an object store is not asked anything yet.

    Raises:
        ConfigInvalid: half of a key pair, or Supabase without its endpoint.
        StorageFailed: the data directory can't be written (local).
    """
    if settings.storage.kind == "local":
        return LocalStorage(settings.data_dir / _ASSETS, signer=open_signer(settings))
    return S3Storage(s3_place(settings))


def open_signer(settings: Settings) -> UrlSigner:
    """Return the signer of this installation; its secret is made on first use.

    Raises:
        StorageFailed: the secret can't be read or made, or is damaged.
    """
    path = settings.data_dir / _SECRET
    with storage_errors_as_ours("read", "its signing secret"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return UrlSigner(load_secret(path))
        except ValueError:
            raise StorageFailed(
                "The signing secret in the data directory is damaged.",
                hint=f"delete the file {_SECRET!r} there; links given out stop working",
            ) from None


def s3_place(settings: Settings) -> S3Place:
    """Return where the buckets are. Raises ConfigInvalid as ``open_storage`` does."""
    storage = settings.storage
    if storage.kind == "supabase" and storage.endpoint is None:
        raise ConfigInvalid(
            "storage.endpoint is missing.",
            param="storage.endpoint",
            hint="https://<project>.storage.supabase.co/storage/v1/s3, from the project's settings",
        )
    return S3Place(
        endpoint=storage.endpoint,
        region=storage.region,
        credentials=_credentials(storage),
        bucket_prefix=storage.bucket_prefix,
        is_supabase=storage.kind == "supabase",
        known_buckets=tuple(sorted(catalogue_of(settings).job_types)),
    )


def _credentials(storage: StorageConfig) -> Credentials | None:
    key, secret = storage.access_key_id, storage.secret_access_key
    if key is None and secret is None:
        return None
    if not key or secret is None or not secret.get_secret_value():
        missing = "access_key_id" if not key else "secret_access_key"
        raise ConfigInvalid(f"storage.{missing} is missing.", param=f"storage.{missing}")
    return Credentials(access_key_id=key, secret_access_key=secret.get_secret_value())
