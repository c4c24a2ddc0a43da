"""macOS' libproc, as far as whose connections are whose."""

import ctypes
import socket


# <sys/proc_info.h> of macOS' SDK, as a compiler of C lays it out.
def struct(name, *fields):
    return type(name, (ctypes.Structure,), {"_fields_": fields})


def several(kind, *names):
    return [(name, kind) for name in names]


u8, u16, u32, u64 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64
i16, i32, i64 = ctypes.c_int16, ctypes.c_int32, ctypes.c_int64
proc_fdinfo = struct("proc_fdinfo", ("proc_fd", i32), ("proc_fdtype", u32))
proc_fileinfo = struct(
    "proc_fileinfo",
    *several(u32, "fi_openflags", "fi_status"), ("fi_offset", i64), ("fi_type", i32), ("fi_guardflags", u32),
)  # fmt: skip
vinfo_stat = struct(
    "vinfo_stat",
    ("vst_dev", u32), *several(u16, "vst_mode", "vst_nlink"), ("vst_ino", u64), *several(u32, "vst_uid", "vst_gid"),
    *several(i64, *(f"vst_{each}time{part}" for each in ("a", "m", "c", "birth") for part in ("", "nsec"))),
    *several(i64, "vst_size", "vst_blocks"), ("vst_blksize", i32), *several(u32, "vst_flags", "vst_gen", "vst_rdev"),
    ("vst_qspare", i64 * 2),
)  # fmt: skip
sockbuf_info = struct(
    "sockbuf_info",
    *several(u32, "sbi_cc", "sbi_hiwat", "sbi_mbcnt", "sbi_mbmax", "sbi_lowat"), *several(i16, "sbi_flags", "sbi_timeo"),
)  # fmt: skip
in_sockinfo = struct(
    "in_sockinfo",
    *several(i32, "insi_fport", "insi_lport"), ("insi_gencnt", u64), *several(u32, "insi_flags", "insi_flow"),
    *several(u8, "insi_vflag", "insi_ip_ttl"), ("rfu_1", u32), *several(u8 * 16, "insi_faddr", "insi_laddr"),
    ("insi_v4", u8), ("insi_v6", u32 * 3),
)  # fmt: skip
un_sockinfo = struct(
    "un_sockinfo", *several(u64, "unsi_conn_so", "unsi_conn_pcb"), *several(u8 * 255, "unsi_addr", "unsi_caddr")
)
soi_proto = type("soi_proto", (ctypes.Union,), {"_fields_": [("pri_in", in_sockinfo), ("pri_un", un_sockinfo)]})
socket_info = struct(
    "socket_info",
    ("soi_stat", vinfo_stat), *several(u64, "soi_so", "soi_pcb"), *several(i32, "soi_type", "soi_protocol", "soi_family"),
    *several(i16, "soi_options", "soi_linger", "soi_state", "soi_qlen", "soi_incqlen", "soi_qlimit", "soi_timeo"),
    ("soi_error", u16), ("soi_oobmark", u32), *several(sockbuf_info, "soi_rcv", "soi_snd"), ("soi_kind", i32),
    ("rfu_1", u32), ("soi_proto", soi_proto),
)  # fmt: skip
socket_fdinfo = struct("socket_fdinfo", ("pfi", proc_fileinfo), ("psi", socket_info))


class FakeMac:
    """What libproc tells: {pid: parent}, {pid: {descriptor: None or what it is}}. Others' processes are not told of."""

    def __init__(self, parents, descriptors, closed=()):
        self.parents = parents
        self.descriptors = descriptors
        self.closed = closed
        self.vanished = set()

    def _fill(self, buffer, size, items):
        whole = b"".join(map(bytes, items))
        if buffer is None:
            return len(whole) + 20 * 4  # with room for more, as the system does
        fitting = whole[:size]
        ctypes.memmove(buffer, fitting, len(fitting))
        return len(fitting)

    def proc_listpids(self, kind, which, buffer, size):
        assert kind == 6
        return self._fill(buffer, size, [i32(pid) for pid, parent in self.parents.items() if parent == which])

    def proc_pidinfo(self, pid, flavor, arg, buffer, size):
        assert (flavor, arg) == (1, 0)
        if pid in self.closed:
            ctypes.set_errno(1)
            return 0
        if pid not in self.descriptors:
            ctypes.set_errno(3)
            return 0
        return self._fill(
            buffer, size, [proc_fdinfo(at, 2 if what else 1) for at, what in self.descriptors[pid].items()]
        )

    def proc_pidfdinfo(self, pid, descriptor, flavor, buffer, size):
        assert flavor == 3
        assert size == ctypes.sizeof(socket_fdinfo)
        if (pid, descriptor) in self.vanished:
            ctypes.set_errno(9)
            return 0
        return self._fill(buffer, size, [self.descriptors[pid][descriptor]])


def tcp(local, remote, *, kind=2):
    info = socket_fdinfo()
    info.psi.soi_kind = kind
    found = info.psi.soi_proto.pri_in
    is_old = ":" not in local[0]
    found.insi_vflag = 1 if is_old else 2
    family = socket.AF_INET if is_old else socket.AF_INET6
    for name, (host, port) in (("l", local), ("f", remote)):
        setattr(found, f"insi_{name}port", socket.htons(port))
        getattr(found, f"insi_{name}addr")[:] = socket.inet_pton(family, host).rjust(16, b"\0")
    return info
