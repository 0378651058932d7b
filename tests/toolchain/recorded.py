"""What compilers print with ``-v`` (Sun: ``-V``), shortened.

Debian's are copies from a machine; the others are composed in their vendors' form,
unconfirmed by a run.
"""

from __future__ import annotations

from dataclasses import dataclass

from zdistcc.toolchain.identity import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A text and what has to be read from it."""

    label: str
    family: Family
    version: str
    target: str
    text: str


def _gcc(label: str, version: str, target: str, configured: str, last: str, before: str = "") -> Recorded:
    text = (
        f"{before or 'Using built-in specs.'}\n"
        "COLLECT_GCC=gcc\nCOLLECT_LTO_WRAPPER=/usr/libexec/lto-wrapper\n"
        f"Target: {target}\nConfigured with: {configured}\nThread model: posix\n"
        f"Supported LTO compression algorithms: zlib zstd\n{last}\n"
    )
    return Recorded(label=label, family=Family.GCC, version=version, target=target, text=text)


def _clang(
    label: str, version: str, target: str, first: str, more: str = "", family: Family = Family.CLANG
) -> Recorded:
    text = f"{first}\nTarget: {target}\nThread model: posix\nInstalledDir: /usr/bin\n{more}"
    return Recorded(label=label, family=family, version=version, target=target, text=text)


GCC = (
    _gcc(
        "debian",
        "12.2.0",
        "x86_64-linux-gnu",
        "../src/configure -v --with-pkgversion='Debian 12.2.0-14+deb12u1' --enable-default-pie --prefix=/usr",
        "gcc version 12.2.0 (Debian 12.2.0-14+deb12u1) ",
    ),
    _gcc(
        "fedora",
        "13.2.1",
        "x86_64-redhat-linux",
        "../configure --enable-bootstrap --enable-languages=c,c++,fortran --with-tune=generic",
        "gcc version 13.2.1 20240316 (Red Hat 13.2.1-7) (GCC) ",
    ),
    _gcc(
        "arch",
        "14.1.1",
        "x86_64-pc-linux-gnu",
        "/build/gcc/src/gcc/configure --enable-languages=ada,c,c++,d --enable-bootstrap --prefix=/usr",
        "gcc version 14.1.1 20240522 (GCC) ",
    ),
    _gcc(
        "gentoo",
        "13.2.1",
        "x86_64-pc-linux-gnu",
        "/var/tmp/portage/sys-devel/gcc-13.2.1_p20240210/work/configure --host=x86_64-pc-linux-gnu",
        "gcc version 13.2.1 20240210 (Gentoo 13.2.1_p20240210 p14) ",
        before="Reading specs from /usr/lib/gcc/x86_64-pc-linux-gnu/13/specs",
    ),
    _gcc(
        "crosstool-ng",
        "8.4.0",
        "xtensa-esp32-elf",
        "/builds/crosstool-NG/.build/src/gcc/configure --build=x86_64-build_pc-linux-gnu",
        "gcc version 8.4.0 (crosstool-NG esp-2021r2-patch5) ",
    ),
    _gcc(
        "arm toolchain",
        "10.3.1",
        "arm-none-eabi",
        "/mnt/workspace/gcc/configure --target=arm-none-eabi --with-multilib-list=rmprofile",
        "gcc version 10.3.1 20210824 (release) (GNU Arm Embedded Toolchain 10.3-2021.10) ",
    ),
    _gcc(
        "old",
        "4.8.5",
        "x86_64-redhat-linux",
        "../configure",
        "gcc version 4.8.5 20150623 (Red Hat 4.8.5-44) (GCC) ",
    ),
    _gcc(
        "android",
        "4.9.x",
        "arm-linux-androideabi",
        "../configure",
        "gcc version 4.9.x 20150123 (prerelease) (GCC) ",
    ),
)

CLANG = (
    _clang(
        "debian",
        "14.0.6",
        "x86_64-pc-linux-gnu",
        "Debian clang version 14.0.6",
        "Found candidate GCC installation: /usr/bin/../lib/gcc/x86_64-linux-gnu/12\n",
    ),
    _clang("ubuntu", "14.0.0", "x86_64-pc-linux-gnu", "Ubuntu clang version 14.0.0-1ubuntu1.1"),
    _clang(
        "fedora",
        "17.0.6",
        "x86_64-redhat-linux-gnu",
        "clang version 17.0.6 (Fedora 17.0.6-2.fc39)",
        "Configuration file: /etc/clang/x86_64-redhat-linux-gnu-clang.cfg\n",
    ),
    _clang("arch", "17.0.6", "x86_64-pc-linux-gnu", "clang version 17.0.6"),
    _clang(
        "self-built",
        "18.1.0",
        "aarch64-unknown-linux-gnu",
        "clang version 18.1.0rc (https://github.com/llvm/llvm-project.git 461274b81d86)",
    ),
    _clang(
        "freebsd",
        "13.0.0",
        "x86_64-unknown-freebsd13.1",
        "FreeBSD clang version 13.0.0 (git@github.com:llvm llvmorg-13.0.0-0-gd7b669b3a303)",
    ),
    _clang("apple", "15.0.0-apple", "arm64-apple-darwin23.4.0", "Apple clang version 15.0.0 (clang-1500.3.9.4)"),
    _clang(
        "gcc on a Mac",
        "14.0.0-apple",
        "x86_64-apple-darwin21.6.0",
        "Configured with: --prefix=/Library/Developer/usr --with-gxx-include-dir=/usr/c++/4.2.1\n"
        "Apple clang version 14.0.0 (clang-1400.0.29.202)",
    ),
    _clang(
        "old apple",
        "10.0.1-apple",
        "x86_64-apple-darwin18.7.0",
        "Apple LLVM version 10.0.1 (clang-1001.0.46.4)",
    ),
    _clang(
        "amd",
        "14.0.6-amd",
        "x86_64-unknown-linux-gnu",
        "AMD clang version 14.0.6 (CLANG: AOCC_4.0.0-Build#434 2022_10_28)",
    ),
    _clang(
        "aocc",
        "9.0.0-amd",
        "x86_64-unknown-linux-gnu",
        "AOCC.LLVM.2.1.0.B1030 clang version 9.0.0 (CLANG: Build#1030)",
    ),
    _clang(
        "android",
        "14.0.7-android",
        "x86_64-unknown-linux-gnu",
        "Android (9352603, based on r450784d1) clang version 14.0.7 (https://example.org/toolchain)",
    ),
)

INTEL = (
    _clang(
        "icx",
        "2023.1.0",
        "x86_64-unknown-linux-gnu",
        "Intel(R) oneAPI DPC++/C++ Compiler 2023.1.0 (2023.1.0.20230320)",
        "Configuration file: /opt/intel/oneapi/compiler/2023.1.0/linux/bin-llvm/../bin/icx.cfg\n",
        family=Family.INTEL,
    ),
    Recorded(
        label="icc",
        family=Family.INTEL,
        version="2021.8.0",
        target="",
        text="icc version 2021.8.0 (gcc version 11.3.0 compatibility)\n",
    ),
    Recorded(
        label="icpc --version",
        family=Family.INTEL,
        version="2021.8.0",
        target="",
        text="icpc (ICC) 2021.8.0 20221119\nCopyright (C) 1985-2022 Intel Corporation.\n",
    ),
)

SUN = (
    Recorded(
        label="CC with a patch number",
        family=Family.SUN,
        version="5.13",
        target="i386-sun-solaris",
        text="CC: Sun C++ 5.13 SunOS_i386 151846-10 2015/10/30\n",
    ),
    Recorded(
        label="suncc on Linux",
        family=Family.SUN,
        version="5.15",
        target="i386-sun-linux",
        text="suncc: Studio 12.6 Sun C 5.15 Linux_i386 2017/05/30\n",
    ),
    Recorded(
        label="CC on Solaris",
        family=Family.SUN,
        version="5.12",
        target="sparc-sun-solaris",
        text="CC: Sun C++ 5.12 SunOS_sparc 2011/11/16\n",
    ),
)

EVERYTHING = GCC + CLANG + INTEL + SUN
