"""The disassembly that `nvdisasm` prints, as instructions with their source lines, and what kinds they are of.

Opcodes as in NVIDIA's "CUDA Binary Utilities", section "Instruction Set Reference" (Turing to Blackwell).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Instruction", "access_width", "classify", "parse_disassembly"]

_SECTION = re.compile(r"//-+ \.text\.(\S+)\s+-+")
_OTHER_SECTION = re.compile(r"//-+ \.\S+\s+-+")
_MARKER = re.compile(r'\s*//## File "(?P<file>[^"]*)", line (?P<line>\d+)')
_INSTRUCTION = re.compile(
    r"\s*/\*(?P<address>[0-9a-f]{4,})\*/\s+(?:@!?U?P(?:[0-9]+|T)\s+)?(?P<opcode>[A-Z][A-Z0-9_]*(?:\.[A-Za-z0-9_]+)*)[^;]*;"
)

_BY_CLASS: Mapping[str, str] = {
    "fp32": "FADD FMUL FFMA FMNMX FMNMX3 FSEL FSETP FSET FCHK FSWZADD FADD2 FMUL2 FFMA2 FADD32I FMUL32I FFMA32I FHADD FHFMA "
    "FADD3 UFADD UFMUL UFFMA UFMNMX UFSEL UFSETP UFSET UFRND",
    "fp16": "HADD2 HMUL2 HFMA2 HMNMX2 HSET2 HSETP2 HADD2_32I HMUL2_32I HFMA2_32I VHMNMX",
    "fp64": "DADD DMUL DFMA DSETP DMNMX DSET",
    "int": "IADD IADD3 IADD32I IMAD IMUL IMUL32I IABS IMNMX IMNMX3 ISETP ISET ISCADD ISCADD32I IDP IDP4A LEA LOP LOP3 LOP32I "
    "PLOP3 SHF SHL SHR SEL MOV MOV32I PRMT POPC FLO BMSK BREV SGXT XMAD BFE BFI CS2R CS2UR S2R S2UR R2UR R2P P2R PSETP PSET "
    "VABSDIFF VABSDIFF4 VIADD VIADDMNMX VIMNMX VIMNMX3 UP2UR UR2UP UIADD3 UIMAD ULEA ULOP ULOP3 ULOP32I UPLOP3 UMOV USEL USHF "
    "USHL USHR UISETP UISET UPRMT UPOPC UFLO UBMSK UBREV USGXT UPSETP UVIADD UVIMNMX UIABS UIMNMX USCADD R2B B2R LEPC",
    "sfu": "MUFU",
    "convert": "F2F F2FP F2I F2IP I2F I2FP I2I I2IP FRND UF2F UF2FP UF2I UI2F UI2FP UI2I",
    "load_store": "LD LDG LDS LDSM LDL LDC LDCU ULDC ST STG STS STSM STL LDGSTS LDGMC UBLKCP UBLKPF UBLKRED UTMALDG UTMASTG "
    "UTMAPF UTMAREDG UTMACCTL CCTL CCTLL CCTLT PREFETCH LDTM STTM LDT LDTRAM QSPC UCCTL TEX TLD TLD4 TMML TXD TXQ SULD "
    "SUST SULEA TXA",
    "atomic": "ATOM ATOMG ATOMS RED REDG REDAS REDS SUATOM SURED",
    "shuffle": "SHFL VOTE VOTEU UVOTE MATCH REDUX CREDUX MOVM ELECT",
    "barrier": "BAR MEMBAR ERRBAR DEPBAR LDGDEPBAR SYNCS ARRIVES WARPSYNC WARPGROUP WARPGROUPSET FENCE UCGABAR_ARV UCGABAR_WAIT "
    "UTCBAR UTMACMDFLUSH CGAERRBAR ACQBULK ENDCOLLECTIVE COLLECTIVE UVIRTCOUNT ACQSHMINIT",
    "control": "BRA BRX BRXU JMP JMX JMXU EXIT RET CALL BSSY BSYNC BREAK BMOV YIELD NANOSLEEP KILL BPT RPCMOV RTT UBRA PREEXIT "
    "USETMAXREG GETLMEMBASE SETLMEMBASE SETCTAID PMTRIG",
    "tensor": "HMMA IMMA DMMA BMMA QMMA OMMA HGMMA IGMMA QGMMA BGMMA UTCHMMA UTCIMMA UTCQMMA UTCOMMA UTCMXQMMA UTCCP UTCSHIFT "
    "UTCATOMSWS SPMMA",
}
_CLASS = {opcode: name for name, opcodes in _BY_CLASS.items() for opcode in opcodes.split()}

_ROW = 4096  # characters of a line that are looked at: an instruction has a hundred, a path some hundreds
_WIDTHS = {"U8": 8, "S8": 8, "U16": 16, "S16": 16, "64": 64, "128": 128, "256": 256}
_SIZED = frozenset(["LD", "LDG", "LDS", "LDL", "ST", "STG", "STS", "STL", "LDGSTS"])


@dataclass(frozen=True)
class Instruction:
    """One machine instruction."""

    address: int
    opcode: str
    """With its modifiers: `LDG.E.128`."""
    line: int
    """1-based, in the source as the compiler knows it; 0 if none is named."""

    @property
    def base(self) -> str:
        """The opcode without modifiers."""
        return self.opcode.partition(".")[0]


def classify(opcode: str) -> str:
    """The issue class (`INSTRUCTION_CLASSES`), `other` for an opcode that is not known here."""
    return _CLASS.get(opcode.partition(".")[0], "other")


def access_width(opcode: str) -> int | None:
    """Bits that each lane moves, for loads, stores and asynchronous copies of a plain size; None for all others."""
    base, *modifiers = opcode.split(".")
    if base not in _SIZED:
        return None
    return next((_WIDTHS[m] for m in modifiers if m in _WIDTHS), 32)


def parse_disassembly(text: str, file: str) -> dict[str, tuple[Instruction, ...]]:
    """Instructions by kernel (mangled, functions called by it included), of ``nvdisasm -c -gi``.

    Without `NOP`, which only fills up. An instruction counts at the innermost line of `file` (a file's name without its folder)
    that it was inlined from; so code of a header counts at the line that calls it.
    """
    kernels: dict[str, list[Instruction]] = {}
    current: list[Instruction] | None = None
    line, in_markers = 0, False
    for full in text.splitlines():
        row = full[:_ROW]
        if section := _SECTION.match(row):
            current, line, in_markers = kernels.setdefault(section[1], []), 0, False
        elif _OTHER_SECTION.match(row):
            current = None
        elif current is None:
            continue
        elif marker := _MARKER.match(row):
            # markers in a row are one place, the innermost first, each named again as the caller of the one before
            if not (in_markers and line):
                line = int(marker["line"]) if marker["file"].rpartition("/")[2] == file else 0
            in_markers = True
        elif found := _INSTRUCTION.match(row):
            in_markers = False
            if found["opcode"] != "NOP":
                current.append(Instruction(int(found["address"], 16), found["opcode"], line))
    return {name: tuple(found) for name, found in kernels.items()}
