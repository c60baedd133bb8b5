//! The languages that the index knows: a table of the grammars' words.

/// A language, and the words of its grammar.
#[derive(Debug)]
pub(crate) struct Language {
    name: &'static str,
    extensions: &'static [&'static str],
    pub(super) grammar: fn() -> tree_sitter::Language,
    /// Nodes that define something, and what that is.
    pub(super) definitions: &'static [(&'static str, &'static str)],
    pub(super) imports: &'static [&'static str],
}

/// Leaves that are names, in any of the grammars.
pub(super) const NAMES: &[&str] = &[
    "identifier",
    "type_identifier",
    "field_identifier",
    "property_identifier",
    "shorthand_property_identifier",
    "namespace_identifier",
    "private_property_identifier",
];

const JAVASCRIPT: &[(&str, &str)] = &[
    ("function_declaration", "function"),
    ("generator_function_declaration", "function"),
    ("class_declaration", "class"),
    ("method_definition", "method"),
    ("variable_declarator", "variable"),
];

const TYPESCRIPT: &[(&str, &str)] = &[
    ("function_declaration", "function"),
    ("generator_function_declaration", "function"),
    ("function_signature", "function"),
    ("class_declaration", "class"),
    ("abstract_class_declaration", "class"),
    ("method_definition", "method"),
    ("method_signature", "method"),
    ("interface_declaration", "interface"),
    ("type_alias_declaration", "type"),
    ("enum_declaration", "enum"),
    ("variable_declarator", "variable"),
];

const C: &[(&str, &str)] = &[
    ("function_definition", "function"),
    ("struct_specifier", "struct"),
    ("union_specifier", "struct"),
    ("enum_specifier", "enum"),
    ("type_definition", "type"),
    ("preproc_def", "macro"),
    ("preproc_function_def", "macro"),
];

const CPP: &[(&str, &str)] = &[
    ("function_definition", "function"),
    ("struct_specifier", "struct"),
    ("class_specifier", "class"),
    ("union_specifier", "struct"),
    ("enum_specifier", "enum"),
    ("type_definition", "type"),
    ("alias_declaration", "type"),
    ("namespace_definition", "module"),
    ("preproc_def", "macro"),
    ("preproc_function_def", "macro"),
];

/// All languages; extensions are looked up in this order.
pub(super) static LANGUAGES: &[Language] = &[
    Language {
        name: "rust",
        extensions: &["rs"],
        grammar: || tree_sitter_rust::LANGUAGE.into(),
        definitions: &[
            ("function_item", "function"),
            ("function_signature_item", "function"),
            ("struct_item", "struct"),
            ("enum_item", "enum"),
            ("union_item", "struct"),
            ("trait_item", "trait"),
            ("mod_item", "module"),
            ("macro_definition", "macro"),
            ("type_item", "type"),
            ("const_item", "constant"),
            ("static_item", "constant"),
        ],
        imports: &["use_declaration"],
    },
    Language {
        name: "python",
        extensions: &["py", "pyi"],
        grammar: || tree_sitter_python::LANGUAGE.into(),
        definitions: &[
            ("function_definition", "function"),
            ("class_definition", "class"),
        ],
        imports: &["import_statement", "import_from_statement"],
    },
    Language {
        name: "typescript",
        extensions: &["ts", "mts", "cts"],
        grammar: || tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
        definitions: TYPESCRIPT,
        imports: &["import_statement"],
    },
    Language {
        name: "tsx",
        extensions: &["tsx"],
        grammar: || tree_sitter_typescript::LANGUAGE_TSX.into(),
        definitions: TYPESCRIPT,
        imports: &["import_statement"],
    },
    Language {
        name: "javascript",
        extensions: &["js", "jsx", "mjs", "cjs"],
        grammar: || tree_sitter_javascript::LANGUAGE.into(),
        definitions: JAVASCRIPT,
        imports: &["import_statement"],
    },
    Language {
        name: "go",
        extensions: &["go"],
        grammar: || tree_sitter_go::LANGUAGE.into(),
        definitions: &[
            ("function_declaration", "function"),
            ("method_declaration", "method"),
            ("type_spec", "type"),
            ("const_spec", "constant"),
            ("var_spec", "variable"),
        ],
        imports: &["import_spec"],
    },
    Language {
        name: "java",
        extensions: &["java"],
        grammar: || tree_sitter_java::LANGUAGE.into(),
        definitions: &[
            ("class_declaration", "class"),
            ("interface_declaration", "interface"),
            ("enum_declaration", "enum"),
            ("record_declaration", "class"),
            ("method_declaration", "method"),
            ("constructor_declaration", "method"),
        ],
        imports: &["import_declaration"],
    },
    Language {
        name: "c",
        extensions: &["c", "h"],
        grammar: || tree_sitter_c::LANGUAGE.into(),
        definitions: C,
        imports: &["preproc_include"],
    },
    Language {
        name: "c++",
        extensions: &["cc", "cpp", "cxx", "hh", "hpp", "hxx"],
        grammar: || tree_sitter_cpp::LANGUAGE.into(),
        definitions: CPP,
        imports: &["preproc_include", "using_declaration"],
    },
];

impl Language {
    /// Returns the language of a file, by its name.
    pub(crate) fn of(path: &str) -> Option<(usize, &'static Self)> {
        let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
        let mut all = LANGUAGES.iter().enumerate();
        all.find(|(_, language)| language.extensions.contains(&extension))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}
