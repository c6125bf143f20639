/*
 * Stands for a library of CUDA when the program is linked, and opens the real one when one of its functions is first called. So the
 * program can be linked where there is no CUDA, and starts where there is none: without the driver it computes on the CPU and says why.
 *
 * cuda-build.sh compiles it once for each library, with
 *   LIBRARY   what is opened, e.g. "libcuda.so.1"
 *   MISSING   what every function returns where the library cannot be opened: a status that its callers know
 *   SILENT    1 where its absence is nothing to speak of
 *   NAMES     a file with a line F(NUMBER, NAME) for each function, counted from 0
 */
#include <dlfcn.h>
#include <stdio.h>

#ifndef __x86_64__
#error "for x86-64 only"
#endif

static const char *const names[] = {
#define F(number, name) #name,
#include NAMES
#undef F
};

/* Of each function: where it is, once it was called. */
__attribute__((used)) static void *table[sizeof names / sizeof *names];

static int missing(void) { return MISSING; }

__attribute__((used)) static void *find(unsigned long number) {
    /* Opening what is open already costs little, and a function is looked for once. */
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    void *found = library ? dlsym(library, names[number]) : NULL;
    if (!found) {
        if (!SILENT || library)
            fprintf(stderr, "warning: CUDA: %s\n", dlerror());
        found = (void *)missing;
    }
    __atomic_store_n(&table[number], found, __ATOMIC_RELEASE);
    return found;
}

/* Every function jumps to where it is, with its arguments where they were; the first time it is found before. */
#define F(number, name)                                  \
    __asm__(".text\n"                                    \
            ".globl " #name "\n"                         \
            ".type " #name ", @function\n"               \
            #name ":\n"                                  \
            "    mov table+8*" #number "(%rip), %r11\n" \
            "    test %r11, %r11\n"                      \
            "    jz 1f\n"                                \
            "    jmp *%r11\n"                            \
            "1:  push $" #number "\n"                    \
            "    jmp first_call\n"                       \
            ".size " #name ", . - " #name "\n");
#include NAMES
#undef F

__asm__(".text\n"
        "first_call:\n"
        "    push %rdi\n"
        "    push %rsi\n"
        "    push %rdx\n"
        "    push %rcx\n"
        "    push %r8\n"
        "    push %r9\n"
        "    push %rax\n"
        "    sub $136, %rsp\n" /* eight vectors, and the stack is aligned as a call wants it */
        "    movups %xmm0, (%rsp)\n"
        "    movups %xmm1, 16(%rsp)\n"
        "    movups %xmm2, 32(%rsp)\n"
        "    movups %xmm3, 48(%rsp)\n"
        "    movups %xmm4, 64(%rsp)\n"
        "    movups %xmm5, 80(%rsp)\n"
        "    movups %xmm6, 96(%rsp)\n"
        "    movups %xmm7, 112(%rsp)\n"
        "    mov 192(%rsp), %rdi\n" /* the number, above 136 bytes and seven registers */
        "    call find\n"
        "    mov %rax, %r11\n"
        "    movups (%rsp), %xmm0\n"
        "    movups 16(%rsp), %xmm1\n"
        "    movups 32(%rsp), %xmm2\n"
        "    movups 48(%rsp), %xmm3\n"
        "    movups 64(%rsp), %xmm4\n"
        "    movups 80(%rsp), %xmm5\n"
        "    movups 96(%rsp), %xmm6\n"
        "    movups 112(%rsp), %xmm7\n"
        "    add $136, %rsp\n"
        "    pop %rax\n"
        "    pop %r9\n"
        "    pop %r8\n"
        "    pop %rcx\n"
        "    pop %rdx\n"
        "    pop %rsi\n"
        "    pop %rdi\n"
        "    add $8, %rsp\n"
        "    jmp *%r11\n");
