"""What an operation is let in with: the document says what it wants, the environment has it."""

from collections.abc import Mapping
from typing import Any

from greenroom.tools.http.credentials import Credential, Missing, basic, bearer, from_variable
from greenroom.tools.openapi.document import Document, Unusable


class Keys:
    """The credentials for a document's security schemes: `variables` names the environment's variable for each."""

    def __init__(self, document: Document, variables: Mapping[str, str]) -> None:
        schemes = document.part("components", "securitySchemes")
        self._schemes: Mapping[str, Any] = schemes if isinstance(schemes, dict) else {}
        self._document = document
        self._variables = variables

    def unknown(self) -> str:
        """Which of the named schemes there are not; "" for none."""
        wrong = [name for name in self._variables if name not in self._schemes]
        if not wrong:
            return ""
        known = ", ".join(self._schemes) or "none"
        return f"credentials_env.{wrong[0]}: the document has no such security scheme; it has {known}"

    def admitting(self, operation: Mapping[str, Any]) -> list[Credential] | Missing:
        """Those of the first of the operation's alternatives for which there are all; what the first one misses, if there is
        no such alternative. To be let in without any is the last of them."""
        wanted = operation.get("security", self._document.part("security"))
        alternatives = [one for one in wanted if isinstance(one, dict)] if isinstance(wanted, list) else []
        alternatives.sort(key=bool, reverse=True)
        missing: Missing | None = None
        for alternative in alternatives:
            found = [self._credential(name) for name in alternative]
            lacking = next((one for one in found if isinstance(one, Missing)), None)
            if lacking is None:
                return [one for one in found if isinstance(one, Credential)]
            missing = missing or lacking
        return missing or []

    def _credential(self, name: str) -> Credential | Missing:
        variable = self._variables.get(name)
        if variable is None:
            return Missing(f"it wants {name}; credentials_env.{name} names the variable that holds it")
        try:
            scheme = self._document.object(self._schemes.get(name))
        except Unusable:
            return Missing(f"it wants {name}, which the document does not describe")
        match scheme:
            case {"type": "http", "scheme": str(kind)} if kind.lower() == "basic":
                return basic(variable)
            case {"type": "http", "scheme": str(kind)} if kind.lower() == "bearer":
                return bearer(variable)
            case {"type": "oauth2" | "openIdConnect"}:
                return bearer(variable)
            case {"type": "apiKey", "in": "header" | "query" | "cookie" as place, "name": str(key)}:
                return from_variable(variable, place, key.lower() if place == "header" else key)
            case _:
                return Missing(f"it wants {name}, a kind of security that is not known here")
