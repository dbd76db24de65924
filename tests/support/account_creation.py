"""Run StitchCreateAccountOperator in a DAG, with a scripted server in place of Stitch."""

from __future__ import annotations

from typing import Any

from airflow_provider_stitch.operators.stitch import StitchCreateAccountOperator
from tests.connect import endpoint_samples
from tests.connect.scripted_server import http_response

TOKEN = "at_9f8e7d6c5b4a-the-new-one"
PARTNER = {"partner_id": "oc_id_of_partner", "partner_secret": "oc_secret_of_partner"}
#: Secrets that must not appear in Airflow's output or in its database.
SECRETS = (TOKEN, *PARTNER.values())

ACCOUNT_CREATED = http_response({**endpoint_samples.ACCOUNT, "access_token": TOKEN})
REJECTIONS = {
    "bad request": http_response({"code": "BadRequest", "message": "Invalid form data.", "errors": {}}, 400),
    "email in use": http_response({"code": "ExistingUser", "message": "in use"}, 400),
    "server error": http_response({}, 500),
}

CUSTOMER = {
    "company": "Acme",
    "user_email": "ada@acme.example",
    "first_name": "Ada",
    "last_name": "Example",
    "region": "us-east-1",
}


def create_account(airflow: Any, **options: Any) -> Any:
    """Run a DAG with the single task `create`, which creates a Stitch account."""
    with airflow.dag() as dag:
        StitchCreateAccountOperator(
            task_id="create", stitch_conn_id="partner", retries=0, **{**CUSTOMER, **options}
        )
    return airflow.run(dag)
