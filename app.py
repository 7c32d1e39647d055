"""Transfer Lab's start: `python3 app.py` prepares everything and opens the app, `streamlit run app.py` serves it."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def start(arguments: "list[str]") -> int:
    """Make the environment, prepare the embedded backbone, then become the web server.

    Args:
        arguments: The command line; what is not known here goes to Streamlit.

    Returns:
        The exit code, where this process does not turn into the server.
    """
    from tlcore.jobs.slots import check_settings, shares
    from tlcore.setup.environment import ensure_environment
    from tlcore.setup.installing import clean_environment
    from tlcore.storage.quotas import quotas_for

    parser = argparse.ArgumentParser(
        prog="app.py",
        description="Prepare Transfer Lab and open it in the browser.",
        epilog="Other options go to Streamlit, such as --server.address 0.0.0.0 for a network without encryption.",
        allow_abbrev=False,
    )
    parser.add_argument("--port", type=int, help="port of the web server (default: 8501, or the next free one)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument(
        "--host", metavar="NAME", action="append", default=[], help="a name or address more by which others call it"
    )
    parser.add_argument("--https", action="store_true", help="open it to the network, encrypted, as cameras need it")
    parser.add_argument("--backup", metavar="FILE", help="save all projects in one file, also while the app runs")
    parser.add_argument("--restore", metavar="FILE", help="bring back what such a file holds, and do not start")
    parser.add_argument("--teacher-password", action="store_true", help="make a password for the teacher's page")
    parser.add_argument("--installed", action="store_true", help="use the environment of this Python as it is")
    options, rest = parser.parse_known_args(arguments)

    if options.teacher_password:
        return print_teacher_password()
    if not (options.backup or options.restore):
        check_settings()  # before minutes go by with making the environment
        quotas_for(is_shared=False)
    python = sys.executable if options.installed else str(ensure_environment(ROOT))
    variables = clean_environment()
    for action, file in (("save", options.backup), ("restore", options.restore)):
        if file is not None:
            command = [python, "-m", "tlcore.backup", action, str(Path(file).resolve())]
            return subprocess.run(command, env=variables, cwd=str(ROOT)).returncode
    os.chdir(str(settings_folder()))
    if options.host:
        variables["TRANSFER_LAB_HOSTS"] = " ".join([variables.get("TRANSFER_LAB_HOSTS", ""), *options.host]).strip()
    if options.https:
        made = subprocess.run([python, "-m", "tlcore.certificate"], env=variables, stdout=subprocess.PIPE, text=True)
        if made.returncode != 0:
            print("No certificate for HTTPS could be made, so Transfer Lab does not start; the reason stands above.")
            return made.returncode
        rest = encrypted(rest, made.stdout.strip())
    is_shared = will_be_shared(rest, options.host)
    variables.update(shares(is_shared=is_shared))
    variables.update(quotas_for(is_shared=is_shared))
    prepared = subprocess.run([python, "-m", "tlcore.prepare"], env=variables)
    if prepared.returncode != 0:
        print("The embedded backbone could not be prepared, so Transfer Lab does not start; the reason stands above.")
        return prepared.returncode

    command = server_command(python, options.port, options.no_browser, rest)
    if sys.platform != "win32":
        sys.stdout.flush()
        os.execve(python, command, variables)  # signals then reach the server itself
    return subprocess.run(command, env=variables).returncode


def print_teacher_password() -> int:
    """Ask for a password and say how the server learns it; only its hash is shown."""
    from tlcore.setup.passwords import ask_for_password

    name, _, made = ask_for_password().partition("=")
    print("\nSet this before you start Transfer Lab, in the same terminal:\n")
    print(f'  $env:{name} = "{made}"' if sys.platform == "win32" else f"  export {name}={made}")
    print("\nor as one line in the file with the variables of your service:\n")
    print(f"  {name}={made}\n\nThen open /teacher and log in. Nobody can read the password from it.")
    return 0


def settings_folder() -> Path:
    """Return the folder with Streamlit's settings: this one, or where pip put them."""
    if (ROOT / ".streamlit").is_dir():
        return ROOT
    from importlib.metadata import files

    found = [Path(str(file.locate())) for file in files("transfer-lab") or () if file.name == "config.toml"]
    return found[0].parents[1]  # never without them: they keep the app on this machine


def will_be_shared(rest: "list[str]", hosts: "list[str]") -> bool:
    """Whether others will use the app too, by all that the server will be told.

    Args:
        rest: Options for Streamlit.
        hosts: Names more by which it will be called.
    """
    from tlcore.network import is_shared
    from tlcore.setup.server_settings import server_setting

    folders = [ROOT, settings_folder(), Path.home()]  # as Streamlit: that of the script, that of the start, one's own
    address = server_setting("address", rest, folders)
    return is_shared(address[-1] if address else None, [*server_setting("allowedHosts", rest, folders), *hosts])


def encrypted(rest: "list[str]", certificate: str) -> "list[str]":
    """Return options for Streamlit that serve the app over HTTPS, to the whole network unless they say to whom.

    Args:
        rest: Options that a person gave.
        certificate: The file with the certificate and its key.
    """
    to_all = [] if "--server.address" in {name.split("=")[0] for name in rest} else ["--server.address", "0.0.0.0"]
    return [*to_all, "--server.sslCertFile", certificate, "--server.sslKeyFile", certificate, *rest]


def server_command(python: str, port: "int | None", no_browser: bool, rest: "list[str]") -> "list[str]":
    """Return the command that serves the app.

    Args:
        python: Python of the environment.
        port: Port asked for, if any; Streamlit looks for a free one otherwise.
        no_browser: Whether no browser shall open.
        rest: Options for Streamlit itself.
    """
    command = [python, "-m", "streamlit", "run", str(ROOT / "app.py")]
    if port is not None:
        command += ["--server.port", str(port)]
    if no_browser:
        command += ["--server.headless", "true"]
    return command + rest


def main() -> None:
    """Run `start`, with every foreseen problem as a plain sentence."""
    from tlcore.setup.python_version import check_python

    check_python()
    from tlcore.errors import TransferLabError

    try:
        sys.exit(start(sys.argv[1:]))
    except TransferLabError as error:
        sys.exit("\n" + str(error))
    except KeyboardInterrupt:
        sys.exit("\nStopped.")


if __name__ == "__main__":
    main()
else:
    # Streamlit finds the literal `app = st.App(...)` by reading this file, then imports it.
    import streamlit as st

    from pages.components.errors import show_unforeseen
    from pages.server.asgi import lifespan, middleware, routes
    from pages.server.private_streamlit import patch
    from tlcore.quiet import outlast_full_logs

    outlast_full_logs()  # the app opens and deletes on a full disk, also where its log lies there
    patch()
    app = st.App(
        ROOT / "pages" / "router.py",
        routes=routes(),
        middleware=middleware(),
        lifespan=lifespan,
        on_script_error=show_unforeseen,
    )
