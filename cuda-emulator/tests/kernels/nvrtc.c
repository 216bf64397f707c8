// As much of NVRTC as cudarc's tests ask for, made of nvcc: they compile their kernels when they run, and
// a machine with nvcc need not have the library.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, COMPILATION = 6 };

struct program {
    char* source;
    char* ptx;
    size_t bytes;
};

int nvrtcCreateProgram(struct program** program, const char* source, const char* name, int headers,
                       const char** header_texts, const char** header_names) {
    (void)name, (void)headers, (void)header_texts, (void)header_names;
    *program = calloc(1, sizeof **program);
    (*program)->source = strdup(source);
    return SUCCESS;
}

int nvrtcCompileProgram(struct program* program, int count, const char** options) {
    char source[] = "/tmp/nvrtcXXXXXX", ptx[64], command[4096];
    int file = mkstemp(source);
    FILE* f = fdopen(file, "w");
    fputs(program->source, f);
    fclose(f);
    snprintf(ptx, sizeof ptx, "%s.ptx", source);
    // `assert` is built in there
    int n = snprintf(command, sizeof command, "'%s' -x cu -ptx -std=c++17 -w -include cassert",
                     getenv("NVCC"));
    for (int i = 0; i < count; i++) {
        // an architecture that nvcc 13 no longer knows
        const char* option = strstr(options[i], "=compute_53") ? "-arch=compute_75" : options[i];
        n += snprintf(command + n, sizeof command - n, " '%s'", option);
    }
    snprintf(command + n, sizeof command - n, " -o %s %s", ptx, source);
    int status = system(command);
    unlink(source);
    if (status != 0) return COMPILATION;
    f = fopen(ptx, "r");
    fseek(f, 0, SEEK_END);
    program->bytes = ftell(f) + 1;
    rewind(f);
    program->ptx = calloc(1, program->bytes);
    size_t read = fread(program->ptx, 1, program->bytes - 1, f);
    fclose(f);
    unlink(ptx);
    return read == program->bytes - 1 ? SUCCESS : COMPILATION;
}

int nvrtcGetPTXSize(struct program* program, size_t* bytes) {
    *bytes = program->bytes;
    return SUCCESS;
}
int nvrtcGetPTX(struct program* program, char* ptx) {
    memcpy(ptx, program->ptx, program->bytes);
    return SUCCESS;
}
int nvrtcGetProgramLogSize(struct program* program, size_t* bytes) {
    (void)program;
    *bytes = 1;
    return SUCCESS;
}
int nvrtcGetProgramLog(struct program* program, char* log) {
    (void)program;
    *log = 0;
    return SUCCESS;
}
const char* nvrtcGetErrorString(int result) { return result ? "nvcc failed" : "success"; }
int nvrtcDestroyProgram(struct program** program) {
    free((*program)->source);
    free((*program)->ptx);
    free(*program);
    *program = NULL;
    return SUCCESS;
}
