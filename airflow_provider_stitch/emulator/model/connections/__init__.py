"""Sources and destinations: their configuration, streams, checks and schedules."""
