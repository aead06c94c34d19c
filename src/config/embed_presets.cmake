# Writes OUT: the preset files FILES as string literals (sluice::config::presets).
set(text "#include \"sluice/config/config.h\"\n\nnamespace sluice::config {\n\n"
  "const std::vector<Preset>& presets() {\n  static const std::vector<Preset> all = {\n")
foreach(file ${FILES})
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} content)
  string(APPEND text "      {\"${name}\", R\"preset(${content})preset\"},\n")
endforeach()
string(APPEND text "  };\n  return all;\n}\n\n}  // namespace sluice::config\n")
file(WRITE ${OUT} "${text}")
