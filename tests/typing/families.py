"""Read by mypy, never run: each member of a family has the family's shape.

A member is a module, so nothing at run time says what it must offer. A line that does not hold is an error of
``make lint``.
"""

from typing import TYPE_CHECKING

import strongroom.cli.add
import strongroom.cli.agent
import strongroom.cli.backup
import strongroom.cli.clear
import strongroom.cli.doctor
import strongroom.cli.exec
import strongroom.cli.explain
import strongroom.cli.export
import strongroom.cli.help
import strongroom.cli.importing
import strongroom.cli.list
import strongroom.cli.login
import strongroom.cli.mfa
import strongroom.cli.migrate_backend
import strongroom.cli.passwd
import strongroom.cli.remove
import strongroom.cli.restore
import strongroom.cli.reveal
import strongroom.cli.rotate
import strongroom.cli.serve
import strongroom.cli.sm
import strongroom.cli.sso
import strongroom.cli.version
import strongroom.keystore.age
import strongroom.keystore.file
import strongroom.keystore.helper
import strongroom.keystore.keychain
import strongroom.keystore.keyctl
import strongroom.keystore.kwallet
import strongroom.keystore.memory
import strongroom.keystore.op
import strongroom.keystore.op_connect
import strongroom.keystore.op_desktop
import strongroom.keystore.password_store
import strongroom.keystore.proton_pass
import strongroom.keystore.secret_service
import strongroom.keystore.wincred
import strongroom.keystore.winhello
import strongroom.prompt.kdialog
import strongroom.prompt.osascript
import strongroom.prompt.pinentry
import strongroom.prompt.terminal
import strongroom.prompt.wincredui
import strongroom.prompt.ykman
import strongroom.prompt.zenity
import strongroom.providers.assume_role
import strongroom.providers.credential_process
import strongroom.providers.credential_source
import strongroom.providers.login_session
import strongroom.providers.session_token
import strongroom.providers.sso
import strongroom.providers.web_identity

if TYPE_CHECKING:
    from strongroom.cli.main import Command
    from strongroom.keystore import Keystore, KeystoreModule
    from strongroom.prompt import Driver
    from strongroom.providers import Provider

    _agent: Command = strongroom.cli.agent
    _sm: Command = strongroom.cli.sm
    _sso_command: Command = strongroom.cli.sso
    _add: Command = strongroom.cli.add
    _backup: Command = strongroom.cli.backup
    _clear: Command = strongroom.cli.clear
    _doctor: Command = strongroom.cli.doctor
    _exec: Command = strongroom.cli.exec
    _explain: Command = strongroom.cli.explain
    _export: Command = strongroom.cli.export
    _help: Command = strongroom.cli.help
    _import: Command = strongroom.cli.importing
    _list: Command = strongroom.cli.list
    _login: Command = strongroom.cli.login
    _mfa: Command = strongroom.cli.mfa
    _migrate_backend: Command = strongroom.cli.migrate_backend
    _passwd: Command = strongroom.cli.passwd
    _remove: Command = strongroom.cli.remove
    _restore: Command = strongroom.cli.restore
    _reveal: Command = strongroom.cli.reveal
    _rotate: Command = strongroom.cli.rotate
    _serve: Command = strongroom.cli.serve
    _version: Command = strongroom.cli.version

    _age: KeystoreModule = strongroom.keystore.age
    _file: KeystoreModule = strongroom.keystore.file
    _keychain: KeystoreModule = strongroom.keystore.keychain
    _helper: KeystoreModule = strongroom.keystore.helper
    _keyctl: KeystoreModule = strongroom.keystore.keyctl
    _op: KeystoreModule = strongroom.keystore.op
    _op_connect: KeystoreModule = strongroom.keystore.op_connect
    _op_desktop: KeystoreModule = strongroom.keystore.op_desktop
    _password_store: KeystoreModule = strongroom.keystore.password_store
    _proton_pass: KeystoreModule = strongroom.keystore.proton_pass
    _kwallet: KeystoreModule = strongroom.keystore.kwallet
    _secret_service: KeystoreModule = strongroom.keystore.secret_service
    _wincred: KeystoreModule = strongroom.keystore.wincred
    _winhello: KeystoreModule = strongroom.keystore.winhello
    _memory: Keystore = strongroom.keystore.memory.MemoryKeystore()

    _assume_role: Provider = strongroom.providers.assume_role
    _credential_process: Provider = strongroom.providers.credential_process
    _credential_source: Provider = strongroom.providers.credential_source
    _login_session: Provider = strongroom.providers.login_session
    _web_identity: Provider = strongroom.providers.web_identity
    _session_token: Provider = strongroom.providers.session_token
    _sso: Provider = strongroom.providers.sso

    _kdialog: Driver = strongroom.prompt.kdialog
    _osascript: Driver = strongroom.prompt.osascript
    _pinentry: Driver = strongroom.prompt.pinentry
    _terminal: Driver = strongroom.prompt.terminal
    _wincredui: Driver = strongroom.prompt.wincredui
    _ykman: Driver = strongroom.prompt.ykman
    _zenity: Driver = strongroom.prompt.zenity
