"""Every contract, bound to the fake."""

from __future__ import annotations

from tests.contracts.accounts import AccountsContract
from tests.contracts.ambient import AmbientContract
from tests.contracts.archives import ArchivesContract
from tests.contracts.blobs import BlobsContract
from tests.contracts.cgroups import CgroupsContract
from tests.contracts.firewall import FirewallContract
from tests.contracts.host import HostContract
from tests.contracts.http import HttpContract
from tests.contracts.namespaces import NamespacesContract
from tests.contracts.network import NetworkContract
from tests.contracts.processes import ProcessesContract
from tests.contracts.records import RecordsContract
from tests.contracts.storage import StorageContract
from tests.contracts.subjects import SubjectsContract


class TestAccounts(AccountsContract):
    pass


class TestAmbient(AmbientContract):
    pass


class TestArchives(ArchivesContract):
    pass


class TestBlobs(BlobsContract):
    pass


class TestCgroups(CgroupsContract):
    pass


class TestFirewall(FirewallContract):
    pass


class TestHost(HostContract):
    pass


class TestHttp(HttpContract):
    pass


class TestNamespaces(NamespacesContract):
    pass


class TestNetwork(NetworkContract):
    pass


class TestProcesses(ProcessesContract):
    pass


class TestRecords(RecordsContract):
    pass


class TestStorage(StorageContract):
    pass


class TestSubjects(SubjectsContract):
    pass
