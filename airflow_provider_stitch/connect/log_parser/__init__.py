"""The parts of the parser for extraction logs. `connect.extraction_log` is its public interface."""
