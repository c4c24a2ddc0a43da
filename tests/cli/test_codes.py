import os

import pytest

from harness.programs import path_with
from providers.surroundings import M, profile, session_step
from strongroom import totp
from strongroom.cli.codes import SEED, Codes
from strongroom.cli.flags import Arguments
from strongroom.cli.settings import Settings
from strongroom.cli.terminal import Talk
from strongroom.errors import CredentialsError, MfaRequired, PromptDismissed, PromptFailed

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the programs that bring codes here are shell scripts")

SECRET = b"12345678901234567890"
AT = 1_700_000_010.0


class Clock:
    """Time passes only while somebody waits."""

    def __init__(self):
        self.time, self.waits = AT, []

    def __call__(self):
        return self.time

    def pause(self, seconds):
        self.waits.append(seconds)
        self.time += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(tmp_path, clock):
    """Codes with these variables and stand-ins; there is no terminal that they could use."""

    def make(*programs, prompt="", target=None, steps=None, **environ):
        if not (tmp_path / "bin").exists():
            path_with(tmp_path / "bin", *programs)
        environ = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin"), "AWS_VAULT_FILE_PASSPHRASE": "pw",
                   "AWS_VAULT_FILE_DIR": str(tmp_path / "keys"), "WINDOW_LOG": str(tmp_path / "log"),
                   "XDG_RUNTIME_DIR": str(tmp_path), "STRONGROOM_PROMPT": prompt} | environ  # fmt: skip
        settings = Settings(Arguments({}, []), environ, Talk("strongroom"), "export jon")
        settings.terminal_is_taken = "it is"
        target = target or profile(mfa_serial=M)
        return Codes(settings, target, steps or [session_step()], now=clock, pause=clock.pause)

    return make


def program(tmp_path, *codes):
    """An mfa_process that prints these codes, one after the other, and then the last."""
    (tmp_path / "codes").write_text("".join(f"{code}\n" for code in codes))
    (tmp_path / "runs").write_text("")
    return f"echo >>{tmp_path}/runs; sed -n $(grep -c '' {tmp_path}/runs)p {tmp_path}/codes"


def log(tmp_path):
    return (tmp_path / "log").read_text()


# Where it comes from


def test_the_code_of_the_command_line_goes_first(make, tmp_path):
    """It is used for whatever wants one; AWS's refusal is the end, as there is no other."""
    codes = make(prompt="zenity")
    step = session_step(mfa_process="touch ran; echo 000000")
    assert [codes.code(step, 0, given="123456"), codes.code(step, 0, given="123456")] == ["123456"] * 2
    assert codes.code(step, 1, given="123456") is None
    assert not (tmp_path / "ran").exists()


def test_mfa_process_goes_before_a_seed(make):
    """And a seed before whoever asks; each once only, as each brings the same again."""
    codes = make("zenity", prompt="zenity", WINDOW="answer", WINDOW_ANSWER="000000")
    own = codes.settings.own_items()
    assert codes.code(session_step(), 0) == "000000"
    own.put(SEED, M, {"seed": totp.to_base32(SECRET)})
    assert codes.code(session_step(), 0) == totp.totp(SECRET, AT)
    assert codes.code(session_step(), 1) is None
    with_process = session_step(mfa_process="echo 111111")
    assert codes.code(with_process, 0) == "111111"
    assert codes.code(with_process, 1) is None


def test_the_mfa_process_of_the_target_is_for_its_device_only(make):
    """A source without one has the target's, if the device is the same; its own goes first."""
    target = profile("admin", mfa_serial=M, mfa_process="echo 222222")
    codes = make("zenity", prompt="zenity", WINDOW="answer", WINDOW_ANSWER="000000", target=target)
    assert codes.code(session_step(), 0) == "222222"
    assert codes.code(session_step(mfa_process="echo 111111"), 0) == "111111"
    assert codes.code(session_step(serial=M + "2"), 0) == "000000"


def test_a_seed_is_for_its_device_only(make):
    """Profiles with another one are asked as ever."""
    codes = make("zenity", prompt="zenity", WINDOW="answer", WINDOW_ANSWER="000000")
    codes.settings.own_items().put(SEED, M, {"seed": totp.to_base32(SECRET)})
    assert codes.code(session_step(serial=M + "2"), 0) == "000000"


@pytest.mark.parametrize("fields", [{}, {"seed": 5}, {"seed": "x"}, {"seed": ""}])
def test_a_damaged_seed(make, fields):
    """Said with what to do; nobody is asked instead, and it is not shown."""
    codes = make()
    codes.settings.own_items().put(SEED, M, fields)
    with pytest.raises(PromptFailed) as caught:
        codes.code(session_step(), 0)
    assert caught.value.message == f"the seed that is stored for MFA device {M} is damaged"
    assert caught.value.hint == f"remove it with `mfa remove {M}`, and add it again"


def test_a_window(make, tmp_path):
    """Three wrong codes; what AWS said stands in the window too."""
    codes = make("zenity", prompt="zenity", WINDOW="answer")
    assert [codes.code(session_step(), attempt) for attempt in range(4)] == ["123456"] * 3 + [None]
    assert log(tmp_path).count(f"\nAWS did not accept the code of {M}\nEnter MFA code for {M}: \n") == 2


def test_a_typing_error_in_a_window(make, tmp_path):
    """It is said, and asked again; no call is made for it."""
    (tmp_path / "answers").write_text("12345\n\n１２３４５６\n 123456 \n")
    codes = make("zenity", prompt="zenity", WINDOW="answers", WINDOW_ANSWERS=str(tmp_path / "answers"))
    assert codes.code(session_step(), 0) == "123456"
    assert log(tmp_path).count("\nA code is six digits.\n") == 3


def test_a_program_that_never_brings_a_code(make, tmp_path):
    """It is not asked for ever."""
    codes = make("kdialog", prompt="kdialog", WINDOW="answer", WINDOW_ANSWER="nonsense 654321")
    with pytest.raises(PromptFailed) as caught:
        codes.code(session_step(), 0)
    assert caught.value.message == f"no code of MFA device {M} was typed in 10 tries"
    assert log(tmp_path).count("--\n") == 10


def test_a_window_that_is_closed(make):
    """The human declined."""
    with pytest.raises(PromptDismissed):
        make("zenity", prompt="zenity", WINDOW="cancel").code(session_step(), 0)


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("kdialog", "the prompt driver 'kdialog' cannot be used: there is no program 'kdialog' on PATH"),
        ("ykman", "the prompt driver 'ykman' cannot be used: there is no program 'ykman' on PATH"),
        ("", "the terminal is not ours to ask at: it is, and no desktop to open a window on (neither DISPLAY nor "
         "WAYLAND_DISPLAY is set)"),
    ],
)  # fmt: skip
def test_nobody_to_ask(make, prompt, reason):
    """The device, what is missing, and what can be done."""
    with pytest.raises(MfaRequired) as caught:
        make(prompt=prompt).code(session_step(), 0)
    assert caught.value.serial == M
    assert caught.value.message == f"a code of MFA device {M} is needed, and {reason}"
    assert caught.value.hint == (
        "run it in a terminal once, give the code with --mfa-token, or set mfa_process in the profile"
    )


def test_a_yubikey(make):
    """A machine: asking again brings the same."""
    codes = make("ykman", prompt="ykman")
    assert codes.code(session_step(), 0) == "123456"
    assert codes.code(session_step(), 1) is None


def test_a_yubikey_that_prints_something_else(make):
    """Said without it."""
    with pytest.raises(PromptFailed) as caught:
        make("ykman", prompt="ykman", YKMAN="junk").code(session_step(), 0)
    assert caught.value.message == "ykman did not print a code: expected a code of six digits, got 14 characters"


def test_an_mfa_process_that_waits_for_us(make):
    """Found out at once."""
    with pytest.raises(CredentialsError) as caught:
        make(STRONGROOM_MFA_PROCESS="other\njon")
    assert caught.value.message == "the mfa_process of profile 'jon' asks strongroom for that same profile"


# Each code once


def test_a_code_that_was_used_is_not_sent_again(make, tmp_path, clock, capsys):
    """The next one comes within half a minute, and it is said why nothing happens until then."""
    step = session_step(mfa_process=program(tmp_path, "111111", "111111", "222222"))
    assert make().code(step, 0) == "111111"
    clock.time += 10
    assert make().code(step, 0) == "222222"
    assert clock.waits == [20.0]
    assert capsys.readouterr().err == (
        f"strongroom: the code that MFA device {M} shows now has been used; waiting 20 s for the next one\n"
    )


def test_seeds_too(make, clock):
    """Our own codes are no exception; and none is waited for that has not been used."""
    make().settings.own_items().put(SEED, M, {"seed": totp.to_base32(SECRET)})
    got = [make().code(session_step(), 0) for _ in range(3)]
    assert got == [totp.totp(SECRET, AT + 30 * number) for number in range(3)]
    assert clock.waits == [30.0, 30.0]
    clock.time += 60
    make().code(session_step(), 0)
    assert clock.waits == [30.0, 30.0]


def test_others_that_wait_for_the_same(make, tmp_path, clock):
    """Another process has the next one too: the one after it will do."""
    step = session_step(mfa_process=program(tmp_path, "111111", "222222", "111111", "222222", "333333"))
    assert [make().code(step, 0) for _ in range(3)] == ["111111", "222222", "333333"]
    assert clock.waits == [30.0, 30.0]


def test_a_program_that_brings_the_same_for_ever(make, tmp_path, clock):
    """It is not waited for twice: AWS has the last word."""
    step = session_step(mfa_process=program(tmp_path, *["111111"] * 5))
    assert [make().code(step, 0), make().code(step, 0)] == ["111111", "111111"]
    assert len(clock.waits) == 1


def test_waiting_is_bounded(make, tmp_path, clock):
    """However many there are."""
    step = session_step(mfa_process=program(tmp_path, "111111", "222222", "333333", "444444", *["111111", "222222",
                                            "333333", "444444"]))  # fmt: skip
    for _ in range(4):
        make().code(step, 0)
    assert make().code(step, 0) == "444444"
    assert len(clock.waits) == 3


def test_a_human_reads_the_display(make, clock):
    """What they type is sent: perhaps the call before never reached AWS."""
    codes = make("zenity", prompt="zenity", WINDOW="answer")
    assert [codes.code(session_step(), 0), codes.code(session_step(), 0)] == ["123456"] * 2
    assert clock.waits == []
