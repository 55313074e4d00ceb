from __future__ import annotations
from casework.package_verify import verify_package

def test_x(disclosed):
    r=verify_package(disclosed.directory, disclosed.station.vault.verifier)
    print(r.to_json()); import subprocess; print(subprocess.run(["find",str(disclosed.directory)],capture_output=True,text=True).stdout)
    assert 0
