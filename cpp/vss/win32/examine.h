// Writer metadata and backup components out of COM's objects, as values.
#pragma once

#include <windows.h>

#include <vsbackup.h>
#include <vss.h>
#include <vswriter.h>

#include "base/error.h"
#include "vss/metadata.h"

namespace exshadow::vss::win32 {

[[nodiscard]] Result<WriterMetadata> read_metadata(IVssExamineWriterMetadata& writer);
[[nodiscard]] FileSet read_file_set(class Answers& answers, IVssWMFiledesc& files);

// What GetWriterComponents hands out. The SDK's IVssWriterComponentsExt has two bases in this order, so two
// tables of methods; mingw-w64 declares the first only, by which it could never be released.
struct WriterComponents : public IVssWriterComponents, public IUnknown {};

// `whole`: the outcome of the components is decided, so that "not succeeded" is an answer.
[[nodiscard]] Result<BackupWriter> read_components(WriterComponents& writer, bool whole);

}  // namespace exshadow::vss::win32
