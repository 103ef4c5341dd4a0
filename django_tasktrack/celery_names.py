"""Celery's settings: which of ours each one is, which change nothing here and why, which cannot be followed.

Both of its spellings are understood, ``task_default_queue`` and ``CELERY_TASK_DEFAULT_QUEUE``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from django.conf import settings


class Meaning(NamedTuple):
    """What a setting of Celery's means here.

    Attributes:
        ours: the setting of ours that it is; None where it changes nothing.
        value: of that setting.
        refused: the remedy, where it cannot be followed.
    """

    ours: str | None = None
    value: Any = None
    refused: str = ""


def _same(value: Any) -> Any:
    return value


def _short(value: Any) -> Any:
    """Celery also writes content types: "application/json"."""
    return value.removeprefix("application/") if isinstance(value, str) else value


def _all_short(value: Any) -> Any:
    return tuple(map(_short, value)) if isinstance(value, (list, tuple, set, frozenset)) else value


def _several(value: Any) -> Any:
    """Celery also takes one name for a list of one."""
    return (value,) if isinstance(value, str) else value


def _as_text(value: Any) -> Any:
    """Celery also takes a number for so many a second."""
    return (
        f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    )


def _never(value: Any) -> Any:
    """For Celery zero means that nothing expires, for us None does."""
    return value or None


#: Those that have an effect: which of ours they are, and how their values are written there.
EFFECTIVE: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "accept_content": ("ACCEPT_CONTENT", _all_short),
    "result_accept_content": ("ACCEPT_CONTENT", _all_short),
    "result_expires": ("RESULT_EXPIRES", _never),
    "result_failure_expires": ("FAILURE_RETENTION", _never),
    "result_serializer": ("RESULT_SERIALIZER", _short),
    "beat_schedule": ("SCHEDULES", _same),
    "imports": ("INCLUDE", _several),
    "include": ("INCLUDE", _several),
    "task_always_eager": ("ALWAYS_EAGER", _same),
    "task_annotations": ("TASK_ANNOTATIONS", _same),
    "task_default_priority": ("DEFAULT_PRIORITY", _same),
    "task_default_queue": ("DEFAULT_QUEUE", _same),
    "task_default_rate_limit": ("DEFAULT_RATE_LIMIT", _as_text),
    "task_eager_propagates": ("EAGER_PROPAGATES", _same),
    "task_ignore_result": ("IGNORE_RESULT", _same),
    "task_routes": ("TASK_ROUTES", _same),
    "task_serializer": ("SERIALIZER", _short),
    "task_soft_time_limit": ("SOFT_TIME_LIMIT", _same),
    "task_store_errors_even_if_ignored": ("STORE_ERRORS_EVEN_IF_IGNORED", _same),
    "task_time_limit": ("TIME_LIMIT", _same),
    "worker_concurrency": ("CONCURRENCY", _same),
    "worker_max_memory_per_child": ("MAX_MEMORY_PER_CHILD", _same),
    "worker_max_tasks_per_child": ("MAX_TASKS_PER_CHILD", _same),
    "worker_pool": ("POOL", _same),
}

#: Those that name a place which the database takes; accepted, and ``manage.py check`` says so.
NEEDLESS = frozenset({"broker_url", "broker_read_url", "broker_write_url", "result_backend"})

#: Those that change nothing: why, and their names.
WITHOUT_EFFECT: Mapping[str, str] = {
    "the database is the broker": """
        broker_url broker_read_url broker_write_url broker_transport broker_transport_options
        broker_connection_timeout broker_connection_retry broker_connection_retry_on_startup
        broker_connection_max_retries broker_channel_error_retry broker_failover_strategy broker_heartbeat
        broker_heartbeat_checkrate broker_login_method broker_native_delayed_delivery_queue_type
        broker_pool_limit broker_pool_acquire_timeout broker_use_ssl broker_host broker_port broker_user
        broker_password broker_vhost worker_detect_quorum_queues task_default_delivery_mode
        task_default_exchange task_default_exchange_type task_default_queue_type task_default_routing_key
        task_create_missing_queue_type task_create_missing_queue_exchange_type task_protocol""",
    "the database is the result backend": """
        result_backend result_backend_transport_options result_backend_always_retry
        result_backend_max_retries result_backend_max_sleep_between_retries_ms
        result_backend_base_sleep_between_retries_ms result_cache_max result_exchange result_exchange_type
        result_persistent cache_backend cache_backend_options database_url database_engine_options
        database_engine_callback database_short_lived_sessions database_table_schemas database_table_names
        database_create_tables_at_setup redis_backend_use_ssl redis_db redis_host redis_max_connections
        redis_username redis_password redis_port redis_socket_timeout redis_socket_connect_timeout
        redis_retry_on_timeout redis_socket_keepalive mongodb_backend_settings couchbase_backend_settings
        arangodb_backend_settings s3_access_key_id s3_secret_access_key s3_bucket s3_base_path
        s3_endpoint_url s3_region gcs_bucket gcs_project gcs_base_path gcs_ttl
        azureblockblob_container_name azureblockblob_retry_initial_backoff_sec
        azureblockblob_retry_increment_base azureblockblob_retry_max_attempts azureblockblob_base_path
        azureblockblob_connection_timeout azureblockblob_read_timeout cassandra_entry_ttl cassandra_keyspace
        cassandra_port cassandra_read_consistency cassandra_servers cassandra_bundle_path cassandra_table
        cassandra_write_consistency cassandra_auth_provider cassandra_auth_kwargs cassandra_options
        cosmosdbsql_database_name cosmosdbsql_collection_name cosmosdbsql_consistency_level
        cosmosdbsql_max_retry_attempts cosmosdbsql_max_retry_wait_time elasticsearch_retry_on_timeout
        elasticsearch_max_retries elasticsearch_timeout elasticsearch_save_meta_as_text""",
    "the database stores payloads, and compresses them if it does": """
        task_compression result_compression""",
    "a call is a row, in the caller's own transaction": """
        task_publish_retry task_publish_retry_policy""",
    "name, arguments, queue, worker and retries of a task are always kept": "result_extended",
    "every start is a row of history": "task_track_started",
    "every change of state is a row of history": """
        task_send_sent_event worker_send_task_events event_queue_expires event_queue_ttl event_queue_prefix
        event_queue_exclusive event_queue_durable event_serializer event_exchange""",
    "a queue is a name, and needs no declaration": """
        task_queues task_queue_max_priority""",
    "what a worker is asked stands on the task's row": """
        worker_enable_remote_control control_queue_ttl control_queue_expires control_queue_exclusive
        control_queue_durable control_exchange""",
    "a worker claims what it can start at once": """
        worker_prefetch_multiplier worker_disable_prefetch worker_enable_prefetch_count_reduction
        worker_eta_task_limit""",
    "tracebacks are always kept": "task_remote_tracebacks",
    "a task that has ended is not run again": "worker_deduplicate_successful_tasks",
    "Django's USE_TZ decides": "enable_utc",
    "every worker runs schedules, which are rows": """
        beat_scheduler beat_schedule_filename beat_sync_every beat_max_loop_interval
        beat_cron_starting_deadline beat_enable_remote_control beat_remote_control_max_tick_age""",
    "there is nothing of the kind here": """
        worker_pool_putlocks worker_pool_restarts worker_pool_start_method worker_proc_alive_timeout
        worker_lost_wait worker_timer worker_timer_precision worker_cancel_long_running_tasks_on_connection_loss
        worker_enable_soft_shutdown_on_idle worker_state_db task_repr_maxlevels result_chord_expires
        result_chord_retry_interval result_chord_join_timeout task_allow_error_cb_on_chord_header""",
}

#: Those that can be given only as things are here: the value, and the remedy for any other.
ONLY: Mapping[str, tuple[Any, str]] = {
    "task_acks_late": (True, "Declare on_lost='fail' for tasks that must not run twice."),
    "task_reject_on_worker_lost": (
        True,
        "Declare on_lost='fail' for tasks that must not run twice.",
    ),
    "task_retry_on_worker_lost": (
        True,
        "Declare on_lost='fail' for tasks that must not run twice.",
    ),
    "task_acks_on_failure_or_timeout": (True, "Name in autoretry_for what is to be run again."),
    "task_acks_on_failure": (True, "Name in autoretry_for what is to be run again."),
    "task_acks_on_timeout": (True, "Name in autoretry_for what is to be run again."),
    "task_create_missing_queues": (True, "A queue is there as soon as a call names it."),
    "task_store_eager_result": (
        False,
        "Run what is due in the test instead: docs/testing.md.",
    ),
    "task_inherit_parent_priority": (False, "Pass priority= with the calls that the task makes."),
    "worker_direct": (False, "Give the worker a queue of its own: manage.py worker -Q."),
    "worker_disable_rate_limits": (False, "Leave rate_limit out."),
    "worker_soft_shutdown_timeout": (
        0,
        "Set GRACE: it is what running tasks get to end after SIGTERM.",
    ),
    "worker_hijack_root_logger": (False, "Logging is Django's, by LOGGING: docs/deployment.md."),
    "worker_redirect_stdouts": (False, "Logging is Django's, by LOGGING: docs/deployment.md."),
}

#: Those that cannot be followed: the remedy, and their names.
REFUSED: Mapping[str, str] = {
    "Payloads are not signed: who may write to the database may enqueue.": """
        security_certificate security_cert_store security_key security_key_password security_digest""",
    "Logging is Django's, by LOGGING: docs/deployment.md.": """
        worker_log_color worker_log_datefmt worker_log_format worker_task_log_datefmt worker_task_log_format
        worker_redirect_stdouts_level""",
    "The worker's parts cannot be replaced.": "worker_agent worker_autoscaler worker_consumer",
}

_WITHOUT_EFFECT = {name: why for why, names in WITHOUT_EFFECT.items() for name in names.split()}
_REFUSED = {name: hint for hint, names in REFUSED.items() for name in names.split()}
NAMES = frozenset({*EFFECTIVE, *_WITHOUT_EFFECT, *ONLY, *_REFUSED, "timezone"})


def spellings() -> Iterator[str]:
    """Each setting of Celery's, in both of its spellings."""
    for name in NAMES:
        yield name
        yield f"CELERY_{name.upper()}"


def celery_name(given: object) -> str | None:
    """The setting of Celery's that a key names, in lower case; None if it names none."""
    if not isinstance(given, str):
        return None
    name = given.removeprefix("CELERY_").lower() if given.startswith("CELERY_") else given
    return name if name in NAMES and given in (name, f"CELERY_{name.upper()}") else None


def meaning(given: object, value: Any) -> Meaning | None:
    """What a key of the settings means if it is one of Celery's; None if it is not."""
    name = celery_name(given)
    if name is None:
        return None
    if name in EFFECTIVE:
        ours, written = EFFECTIVE[name]
        return Meaning(ours, written(value))
    if name == "timezone" and value not in (None, settings.TIME_ZONE):
        return Meaning(refused=f"Django's TIME_ZONE is {settings.TIME_ZONE!r}; set that.")
    if name in ONLY and value is not None and value != ONLY[name][0]:
        return Meaning(refused=ONLY[name][1])
    return Meaning(refused=_REFUSED.get(name, "") if value else "")


def is_needless(given: object, value: Any) -> bool:
    """Whether a key names a broker or a result backend."""
    return bool(value) and celery_name(given) in NEEDLESS


def orders_as_redis(given: object, value: Any) -> bool:
    """Whether a key makes a broker look at priorities as Redis has them: the smallest number goes first."""
    return (
        celery_name(given) == "broker_transport_options"
        and isinstance(value, Mapping)
        and ("priority_steps" in value or value.get("queue_order_strategy") == "priority")
    )


def contradictions(given: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """Settings that change nothing here, given in both spellings with different values."""
    first: dict[str, Any] = {}
    found = []
    for key, value in given.items():
        name = celery_name(key)
        if name is None or name in EFFECTIVE:
            continue
        other = first.setdefault(name, key)
        if other is not key and given[other] != value:
            said = f"TASKTRACK[{other!r}] and TASKTRACK[{key!r}] mean the same setting, and differ."
            found.append((said, "Keep one of them."))
    return found
