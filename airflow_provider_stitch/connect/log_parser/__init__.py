"""Internal modules of the parser for extraction logs. The public interface is `connect.extraction_log`."""
