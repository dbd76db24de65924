"""The count of status requests that all processes of a host share."""
