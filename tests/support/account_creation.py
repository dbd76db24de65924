"""Run StitchCreateAccountOperator in a DAG, against a scripted server in Stitch's place."""

from __future__ import annotations

from typing import Any

from airflow_provider_stitch.operators.stitch import StitchCreateAccountOperator
from tests.connect import endpoint_samples
from tests.connect.server import answer

TOKEN = "at_9f8e7d6c5b4a-the-new-one"
PARTNER = {"partner_id": "oc_id_of_partner", "partner_secret": "oc_secret_of_partner"}
#: What must be neither in Airflow's output nor in its database.
SECRETS = (TOKEN, *PARTNER.values())

ACCOUNT_CREATED = answer({**endpoint_samples.ACCOUNT, "access_token": TOKEN})
REJECTIONS = {
    "bad request": answer({"code": "BadRequest", "message": "Invalid form data.", "errors": {}}, 400),
    "email in use": answer({"code": "ExistingUser", "message": "in use"}, 400),
    "server error": answer({}, 500),
}

CUSTOMER = {
    "company": "Acme",
    "user_email": "ada@acme.example",
    "first_name": "Ada",
    "last_name": "Example",
    "region": "us-east-1",
}


def create_account(airflow: Any, **options: Any) -> Any:
    """Run a DAG whose only task, `create`, creates an account for the customer."""
    with airflow.dag() as dag:
        StitchCreateAccountOperator(
            task_id="create", stitch_conn_id="partner", retries=0, **{**CUSTOMER, **options}
        )
    return airflow.run(dag)
