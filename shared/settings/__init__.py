"""What the environment and `snapfleet.toml` say, read once by each entry point and by nothing below."""

from shared.settings.document import SettingDoc, document
from shared.settings.model import Settings

__all__ = ["SettingDoc", "Settings", "document"]
