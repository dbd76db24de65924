"""The Redis client of a Stitch connection, with which several hosts share the request budget."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_stitch.connect.errors import StitchConfigurationError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection
    from redis import Redis

TIMEOUT = 2.0
"""Seconds to wait for a connection to Redis, or for a response from Redis.

A response usually takes less than 1 ms.
"""

# Names of the TLS extras in an Airflow connection to Redis.
SSL_EXTRAS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_keyfile", "ssl_certfile", "ssl_check_hostname")

_clients: dict[tuple[Any, ...], Redis] = {}
_clients_lock = threading.Lock()


def redis_client_of(connection: Connection) -> Redis | None:
    """Return the Redis client of a Stitch connection, or None if `redis_conn_id` is not set.

    All tasks in this process share one client for each Redis server. The client does not connect to the
    server when it is created.

    :raises StitchConfigurationError: if the Redis connection does not exist or is invalid, or if the Python
        package redis is not installed; the message contains the reason.
    """
    redis_conn_id = connection.extra_dejson.get("redis_conn_id")
    if redis_conn_id is None or redis_conn_id == "":
        return None
    if not isinstance(redis_conn_id, str):
        raise StitchConfigurationError(
            "The connection's extra 'redis_conn_id' must be the id of an Airflow connection to Redis, as a "
            "string. Correct the extra, or remove it to count the requests of each host separately."
        )
    settings = _settings(_redis_connection(redis_conn_id))
    key = tuple(sorted((name, str(value)) for name, value in settings.items()))
    with _clients_lock:
        if key not in _clients:
            _clients[key] = _new_client(settings)
        return _clients[key]


def redis_problem(connection: Connection, account: tuple[str, int]) -> str | None:
    """Return why a Stitch connection's Redis server cannot be used, or None if the server can be used.

    :param account: base URL and client ID of the Stitch account.
    """
    client = redis_client_of(connection)
    if client is None:
        return None
    from airflow_provider_stitch.replication.budget.redis_store import UNAVAILABLE, RedisStore

    try:
        RedisStore(client, account, "test").test()
    except UNAVAILABLE as error:
        return f"{type(error).__name__}: {error}".rstrip(".")
    return None


def _redis_connection(redis_conn_id: str) -> Connection:
    try:
        found = BaseHook.get_connection(redis_conn_id)
    except AirflowNotFoundException:
        found = None
    if found is None:
        raise _invalid(redis_conn_id, "Airflow has no connection with this id")
    if found.conn_type not in ("redis", "rediss"):
        raise _invalid(redis_conn_id, f"its type is {found.conn_type!r} and not 'redis'")
    if not found.host:
        raise _invalid(redis_conn_id, "it has no host")
    return found


def _settings(connection: Connection) -> dict[str, Any]:
    """Return the arguments of `redis.Redis` for an Airflow connection to Redis."""
    extras = connection.extra_dejson
    database = extras.get("db") or 0
    if isinstance(database, str) and database.isascii() and database.isdecimal():
        database = int(database)
    if not isinstance(database, int) or isinstance(database, bool) or database < 0:
        raise _invalid(connection.conn_id, "its extra 'db' is not the number of a database")
    settings = {
        "host": connection.host,
        "port": connection.port or 6379,
        "db": database,
        "username": connection.login or None,
        "password": connection.password or None,
    }
    if extras.get("ssl") or connection.conn_type == "rediss":
        settings["ssl"] = True
        settings |= {name: extras[name] for name in SSL_EXTRAS if extras.get(name) is not None}
    return settings


def _new_client(settings: dict[str, Any]) -> Redis:
    try:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise StitchConfigurationError(
            "The connection's extra 'redis_conn_id' is set, but the Python package redis is not installed. "
            "Install 'airflow-provider-stitch[redis]', or remove the extra."
        ) from None
    # Disable the retries of redis-py, which would block a worker for seconds, although the budget works
    # without Redis.
    return Redis(
        **settings,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
    )


def _invalid(redis_conn_id: str | None, reason: str) -> StitchConfigurationError:
    return StitchConfigurationError(
        f"The connection's extra 'redis_conn_id' names the connection {redis_conn_id!r}, but {reason}. "
        "Correct the extra or that connection, or remove the extra to count the requests of each host "
        "separately."
    )
