"""A DAG that creates an account.

The configuration of a DAG run contains the fault for each try of its task.
"""

import os
import signal
from datetime import datetime, timedelta, timezone
from functools import wraps

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_stitch.operators.stitch import StitchCreateAccountOperator


class FaultyCreateAccountOperator(StitchCreateAccountOperator):
    """A StitchCreateAccountOperator with at most one fault in each try."""

    def set_up(self, context):
        """Install the fault for this try, and then set up the operator."""
        conf = context["dag_run"].conf
        fault = dict(enumerate(conf["faults"], start=1)).get(context["ti"].try_number)
        if fault is not None:
            install(fault)
        return super().set_up(context)


def install(fault):
    """Replace the function for a step of the task with a faulty function.

    A fault has the keys `step`, `when` (`before` or `after` the step) and `what`, which has one of these
    values:

    - `kill`: kill this process.
    - `terminate`: send this process the signal that Airflow sends.
    - `fail`: raise an exception in the first two calls.
    - `blind`: find no connection, as if Airflow's lookup had failed.
    """
    from airflow_provider_stitch.connect.partner import StitchPartner
    from airflow_provider_stitch.operators import _token_storage as token_storage
    from airflow_provider_stitch.operators._connections import store as connection_store

    make_store = connection_store.connection_store

    def make_faulty_store(*arguments):
        store = make_store(*arguments)
        for step in ("reserve", "fill", "release"):
            setattr(store, step, faulty(getattr(store, step), fault, step))
        return store

    connection_store.connection_store = make_faulty_store
    StitchPartner.create_account = faulty(StitchPartner.create_account, fault, "create")
    token_storage.find_connection = faulty(token_storage.find_connection, fault, "find")


def faulty(function, fault, step):
    """Return a function that causes the fault, or the original function if the fault is for another step."""
    if fault["step"] != step:
        return function
    calls = []

    @wraps(function)
    def replacement(*arguments, **options):
        calls.append(arguments)
        if fault["when"] == "before":
            cause_fault(fault["what"], len(calls))
        if fault["what"] == "blind":
            return None
        result = function(*arguments, **options)
        if fault["when"] == "after":
            cause_fault(fault["what"], len(calls))
        return result

    return replacement


def cause_fault(what, call):
    """Cause a fault in a step.

    :param call: which call of the step this is, starting at 1. The fault `fail` occurs only in the first two
        calls.
    """
    from airflow_provider_stitch.connect.errors import StitchUnavailable

    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
    if what == "fail" and call <= 2:
        raise StitchUnavailable("Fault injected by the test.")


with DAG("create_account", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    FaultyCreateAccountOperator(
        task_id="create",
        company="Acme",
        user_email="{{ dag_run.conf['email'] }}",
        first_name="Ada",
        last_name="Example",
        region="us-east-1",
        connection_id="{{ dag_run.conf['connection_id'] }}",
        stitch_conn_id="partner_for_tests",
        airflow_api_conn_id=os.environ.get("AIRFLOW__STITCH_TESTS__API_CONNECTION") or None,
        retries=2,
        retry_delay=timedelta(0),
    )
