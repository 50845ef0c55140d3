import pytest

from ourvidz.bridge.callbacks import SitePoster, legacy_renderer
from ourvidz.bridge.service import assemble_bridge
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.jobs.model import JobFilter, Source
from ourvidz.jobs.open import open_store
from ourvidz.jobs.submission import Submitter
from ourvidz.net.client import GuardedClient
from ourvidz.policy.build import build_policy
from ourvidz.storage.open import open_storage
from ourvidz.upkeep.outbox import OutboxSender
from tests.bridge.payloads import raw
from tests.bridge.servers import TOKEN, RedisServer, serve, serve_site, upstash_handler

CALLBACK_KEY = "site-service-key"


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis(redis_server):
    redis_server.client.flushall()
    return redis_server.client


@pytest.fixture
def site():
    with serve_site() as made:
        yield made


class House:
    """A store, a storage, the bridge and the outbox sender of one installation."""

    def __init__(self, folder, site, *, profile="pocket", storage=None, **bridge):
        self.settings = Settings(
            profile=profile,
            storage=storage or {},
            data_dir=folder,
            device="cpu",
            bridge={
                "site_url": site.url,
                "callback_key": CALLBACK_KEY,
                "poll_s": 0.01,
                **bridge,
            },
        )
        self.store = open_store(self.settings)
        self.store.migrate()
        self.storage = open_storage(self.settings)
        self.submitter = Submitter(
            store=self.store,
            catalogue=catalogue_of(self.settings),
            settings=self.settings,
            policy=build_policy(self.settings.policy),
        )
        self.sender = OutboxSender(
            self.store,
            SitePoster(self.settings, GuardedClient()),
            {"legacy": legacy_renderer(self.settings, self.store, self.storage)},
        )

    def bridge(self, name="here", submitter=None):
        return assemble_bridge(submitter or self.submitter, name=name)

    def jobs(self):
        return self.store.list_jobs(
            JobFilter(sources=(Source.BRIDGE,)), limit=200, newest_first=False
        )

    def close(self):
        self.store.close()


@pytest.fixture
def make_house(tmp_path, site, redis_server, redis):
    del redis
    made = []

    def make(**options):
        if "upstash_url" not in options:
            options.setdefault("redis_url", redis_server.url)
        house = House(tmp_path / "data", site, **options)
        made.append(house)
        return house

    yield make
    for house in made:
        house.close()


@pytest.fixture
def house(make_house):
    return make_house()


@pytest.fixture(params=["redis", "upstash"])
def any_house(request, make_house, redis_server):
    """The same house in front of either kind of queue."""
    if request.param == "redis":
        yield make_house()
        return
    with serve(upstash_handler(redis_server.url)) as url:
        yield make_house(upstash_url=url, upstash_token=TOKEN)


@pytest.fixture
def push(redis):
    """Queue payloads as the old site did."""

    def put(*payloads, queue="wan_queue"):
        for payload in payloads:
            redis.lpush(queue, payload if isinstance(payload, bytes) else raw(payload))

    return put


@pytest.fixture
def lists(redis):
    """Return every list and its length."""
    return lambda: {key.decode(): redis.llen(key) for key in redis.scan_iter()}
