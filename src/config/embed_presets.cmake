# Writes OUT: the preset files FILES below ROOT as string literals (sluice::config::presets), named by
# their path there without the ending. Every byte is escaped, so nothing in a file (a semicolon, a
# bracket, a raw string's end) means anything to CMake or C++; the text is read as hex for the same
# reason.
string(CONCAT text "#include \"sluice/config/config.h\"\n\nnamespace sluice::config {\n\n"
  "const std::vector<Preset>& presets() {\n  static const std::vector<Preset> all = {\n")
foreach(file IN LISTS FILES)
  file(RELATIVE_PATH name "${ROOT}" "${file}")
  string(REGEX REPLACE "\\.json$" "" name "${name}")
  file(READ "${file}" content HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" content "${content}")
  string(REGEX REPLACE "\\\\x0a" "\\\\n\"\n       \"" content "${content}")
  string(APPEND text "      {\"${name}\",\n       \"${content}\"},\n")
endforeach()
string(APPEND text "  };\n  return all;\n}\n\n}  // namespace sluice::config\n")
file(WRITE "${OUT}" "${text}")
