"""Writes the seed corpora of the fuzzers (`python tests/fuzz/corpus.py`); they are in git."""

import struct
from pathlib import Path

HERE = Path(__file__).parent
PIECES = {"whole": b"\x00", "bytewise": b"\x01", "small": b"\x1d"}


def option(number: int, data: bytes = b"") -> bytes:
    return struct.pack(">8sII", b"IHAVEOPT", number, len(data)) + data


def text(value: str) -> bytes:
    return struct.pack(">I", len(value)) + value.encode()


def go(name: str, *infos: int) -> bytes:
    return text(name) + struct.pack(f">H{len(infos)}H", len(infos), *infos)


def contexts(name: str, *queries: str) -> bytes:
    return text(name) + struct.pack(">I", len(queries)) + b"".join(map(text, queries))


def request(kind: int, offset: int, length: int, flags: int = 0, data: bytes = b"") -> bytes:
    return struct.pack(">IHHQQI", 0x25609513, flags, kind, 7, offset, length) + data


HANDSHAKES = {
    "go": option(7, go("disk", 0, 1, 2, 3)),
    "info": option(6, go("disk", 3)) + option(6, go("none")) + option(2),
    "export_name": option(1, b"disk"),
    "list": option(3) + option(3, b"x") + option(2),
    "contexts": option(8)
    + option(9, contexts("disk"))
    + option(9, contexts("disk", "base:", "exshadow:changed/"))
    + option(10, contexts("disk", "base:allocation", "exshadow:changed/one"))
    + option(7, go("disk")),
    "odd": option(5) + option(11) + option(99, b"abc") + option(8, b"1") + option(7, b"\xff" * 4),
    "hostile": struct.pack(">8sII", b"IHAVEOPT", 7, 0xFFFFFFFF),
}
TRANSMISSIONS = {
    "mixed": request(0, 0, 4096)
    + request(1, 512, 600, data=b"d" * 600)
    + request(3, 0, 0)
    + request(6, 0, 65536, 2)
    + request(4, 4096, 4096, 1)
    + request(5, 0, 512)
    + request(0, 0, 0, 4)
    + request(2, 0, 0),
    "status": request(7, 0, 1 << 20) + request(7, 0, 512, 8) + request(7, 0, 0),
    "large": request(1, 0, 70000, 1, b"L" * 70000) + request(0, 0, 70000) + request(2, 0, 0),
    "wrong": request(0, 1 << 63, 512)
    + request(8, 0, 1)
    + request(77, 0, 0)
    + request(1, 0, 1 << 31),
    "cut": request(1, 0, 4096, data=b"half"),
}

ID = "0123abcd-0000-4000-8000-00000000000f"
FILES = 'path="C:\\x" filespec="*" recursive="yes" filespecBackupType="3855"'
COMPONENT = 'componentName="one" logicalPath="a\\b"'
METADATA_PARTS = {
    "plain": f"""<RESTORE_METHOD method="CUSTOM" service="s" writerRestore="always"
        rebootRequired="no">
        <ALTERNATE_LOCATION_MAPPING {FILES} alternatePath="D:\\"/></RESTORE_METHOD>
        <BACKUP_LOCATIONS><FILE_GROUP {COMPONENT} caption="&quot;&#10;" selectable="yes"
        componentFlags="6">
        <FILE_LIST {FILES}/><DEPENDENCY writerId="{ID}" componentName="n"/></FILE_GROUP>
        <DATABASE componentName="db"><DATABASE_FILES {FILES}/><DATABASE_LOGFILES {FILES}/>
        </DATABASE>
        <EXCLUDE_FILES {FILES}/><EXCLUDE_FILES_FROM_SNAPSHOT {FILES}/></BACKUP_LOCATIONS>""",
    "strange": """<!-- c --><?pi x?><BACKUP_LOCATIONS q:a="1" xmlns:q="u">text<![CDATA[<&]]>
        <q:NEW xml:lang="de" q:a="&lt;"><x xmlns=""/></q:NEW></BACKUP_LOCATIONS>""",
}
BACKUP_PARTS = {
    "plain": f"""<WRITER_COMPONENTS instanceId="{ID}" writerId="{ID}" backupSchema="881">
        <COMPONENT {COMPONENT} componentType="filegroup" backupStamp="s" backupSucceeded="yes">
        <BACKUP_METADATA xmlns="" metadata="m"/><PARTIAL_FILE path="p" filename="f" ranges="0:1"/>
        <DIFFERENCED_FILE {FILES} lastModifyTime="1"/><FAILURE failure="2147754995"/></COMPONENT>
        </WRITER_COMPONENTS><SNAPSHOT snapshotId="{ID}" snapshotSetId="{ID}" providerId="{ID}"
        originalVolumeName="C:" status="12"/><SNAPSHOT snapshotId="{ID}"/>""",
    "restore": f"""<WRITER_COMPONENTS instanceId="{ID}" writerId="{ID}"><COMPONENT {COMPONENT}
        componentType="database" selectedForRestore="yes" rollForwardType="partial"
        rollForwardPoint="t"
        restoreTarget="directed" fileRestoreStatus="all"><RESTORE_METADATA metadata="m"/>
        <RESTORE_SUBCOMPONENT componentName="part"/><NEW_TARGET {FILES} alternatePath="E:\\"/>
        <DIRECTED_TARGET sourcePath="a" sourceFilename="b" destinationPath="c"
        destinationFilename="d"/>
        </COMPONENT></WRITER_COMPONENTS>""",
}


def vss_documents() -> dict[str, dict[str, str]]:
    identity = f'<IDENTIFICATION writerId="{ID}" instanceId="{ID}" friendlyName="w" usage="OTHER"/>'
    metadata = '<WRITER_METADATA xmlns="x-schema:#VssWriterMetadataInfo" version="1.2">'
    backup = '<BACKUP_COMPONENTS xmlns="x-schema:#VssComponentMetadata" version="1.2">'
    return {
        "vss_writer_metadata": {
            name: f"{metadata}{identity}{part}</WRITER_METADATA>"
            for name, part in METADATA_PARTS.items()
        },
        "vss_backup_document": {
            name: f"{backup}{part}</BACKUP_COMPONENTS>" for name, part in BACKUP_PARTS.items()
        },
    }


def main() -> None:
    for target, documents in vss_documents().items():
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, document in documents.items():
            (folder / name).write_text(document, encoding="utf-8")
            prolog = '<?xml version="1.0" encoding="UTF-16"?>'
            (folder / f"{name}-utf16").write_bytes((prolog + document).encode("utf-16"))
    for target, scripts in (("handshake", HANDSHAKES), ("transmission", TRANSMISSIONS)):
        folder = HERE / "corpus" / f"nbd_{target}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, body in scripts.items():
            for how, piece in PIECES.items():
                if len(body) > 10000 and how == "bytewise":
                    continue
                if target == "handshake":
                    for flags in (0, 3) if name == "export_name" else (3,):
                        file = folder / f"{name}-{flags}-{how}"
                        file.write_bytes(piece + struct.pack(">I", flags) + body)
                else:
                    for options in (0, 5, 7, 13):
                        (folder / f"{name}-{options}-{how}").write_bytes(
                            piece + bytes([options]) + body
                        )


if __name__ == "__main__":
    main()
