"""Model folders to the Hugging Face hub."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from speechlm import hub
from speechlm.errors import SpeechLMError

CARD = "README.md"


class Publishable:
    """A model that was loaded from a folder, which can be uploaded.

    Attributes:
        folder: where it was loaded from; None of one that was not.
    """

    folder: Path | None = None

    def push_to_hub(
        self, repo_id: str, *, private: bool = False, token: str | None = None,
        message: str = "Upload model",
    ) -> str:  # fmt: skip
        """Upload the folder that the model was loaded from to the hub: :func:`push_to_hub`.

        Changes that were made to the object since are not in it.

        Raises:
            SpeechLMError: when it was not loaded from a folder, or as :func:`push_to_hub`.
        """
        if self.folder is None:
            raise SpeechLMError("the model was not loaded from a folder: save it and load it first")
        return push_to_hub(self.folder, repo_id, private=private, token=token, message=message)


def push_to_hub(
    name: str | Path, repo_id: str, *, private: bool = False, token: str | None = None,
    message: str = "Upload model",
) -> str:  # fmt: skip
    """Upload a model to the hub, from where ``from_pretrained(repo_id)`` loads it.

    All files of the folder go as they are, and ``config.json`` beside ``config.yaml``; a model
    without a card gets one that says what it is.

    Args:
        name: a folder or a shipped model.
        repo_id: ``owner/name``; the repository is created if there is none.
        private: who creates it may see it, nobody else.
        token: of the account; None: what ``hf auth login`` has stored.
        message: of the commit.

    Returns:
        The address of the repository.

    Raises:
        SpeechLMError: when there is no such model, or the hub refuses it.
    """
    folder = hub.find_model(name)
    if repo_id.count("/") != 1 or not all(repo_id.split("/")):
        raise SpeechLMError(f"{repo_id}: a repository is called owner/name")
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory(prefix="speechlm-") as temporary:
        stage = Path(temporary) / "model"
        shutil.copytree(folder, stage, ignore=shutil.ignore_patterns(".*", "*.part"))
        kind = hub.write_json_config(stage)
        if not (stage / CARD).is_file():
            (stage / CARD).write_text(_card(repo_id, kind), "utf-8")
        try:
            api = HfApi(token=token)
            address = api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(repo_id=repo_id, folder_path=stage, commit_message=message)
        except Exception as error:  # the hub's client raises a dozen unrelated types
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise SpeechLMError(f"{repo_id}: cannot be uploaded to the hub: {reason}") from None
    return str(address)


def _card(repo_id: str, kind: str) -> str:
    return f"""---
library_name: speechlm
tags: [speech, audio, {kind}]
---
# {repo_id.split("/")[1]}

A model of kind `{kind}` for `speechlm`. Nobody has written down yet what it was trained on, under
which licences, and how good it is.
"""
