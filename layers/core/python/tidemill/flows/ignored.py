"""What lands under a watched prefix, and is no file of any model that could exist."""

from tidemill.aws.stores import Notices
from tidemill.contracts import Upload
from tidemill.errors import InvalidUpload


def why_ignored(upload: Upload, what: str, notices: Notices) -> list[str] | None:
    """None for a file to work on. Somebody is told of `what` with a key that names no model; a folder that the S3
    console made needs no reason."""
    if upload.is_folder:
        return []
    try:
        upload.check()
    except InvalidUpload as error:
        notices.publish(f"Tidemill: {what} was ignored", str(error))
        return error.problems
    return None
