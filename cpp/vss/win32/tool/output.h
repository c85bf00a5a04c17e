// What the tool says: results on stdout as text or as exactly one JSON document, everything else on stderr.
// UTF-8 into files and pipes, UTF-16 into a console.
#pragma once

#include <string_view>

#include "base/error.h"
#include "vss/report_json.h"

namespace exshadow::vss::win32 {

void write_out(std::string_view text);
void write_error(std::string_view text);

class Output {
public:
    explicit Output(bool json) : json_(json) {}

    // Exit status 0.
    int result(const Json& json, std::string_view text) const;
    // The failure document, with `report` beside the error when there is one; gives the exit status.
    int failure(const Error& error, std::string_view report_name, const Json& report) const;
    int failure(const Error& error) const;
    void progress(std::string_view line) const;
    [[nodiscard]] bool json() const { return json_; }

private:
    bool json_;
};

// The project's exit statuses (interface): 1 unexpected, 2 wrong usage, 3 not found, 4 refused, 5 damaged, 6
// writer or provider, 7 I/O, 8 busy, 130 interrupted.
[[nodiscard]] int exit_status(Code code);

}  // namespace exshadow::vss::win32
