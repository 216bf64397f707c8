"""Random expressions over u32, u64, i32, f32 and f64: the emulator against g++.

usage: gen.py SEED [FUNCTIONS]
Each program is compiled optimised for 8.0 and unoptimised (-G) for 7.5; needs g++ on a processor
with FMA."""
import random,sys,subprocess,struct
from tools import NVCC,run_kernel,work
def ex(r,t,d):
    if d<=0 or r.random()<.1:
        if t=='u': return r.choice(['a','b','(uint32_t)c','%uu'%r.choice([0,1,2,31,32,255,0x80000000,0xffffffff,r.getrandbits(32)])])
        if t=='l': return r.choice(['c','(uint64_t)a','((uint64_t)b<<32)','%dull'%r.choice([0,1,63,2**63,2**64-1,r.getrandbits(64)])])
        if t=='i': return r.choice(['(int)a','(int)b','%d'%r.randint(-2**31+1,2**31-1)])
        if t=='f': return r.choice(['x','(float)(int)b','%.9gf'%r.uniform(-100,100),'1.5f','x'])
        if t=='d': return r.choice(['y','(double)x','(double)(int)a','%.17g'%r.uniform(-100,100)])
    E=lambda tt: ex(r,tt,d-1)
    if t=='u':
        return r.choice([lambda:'(%s %s %s)'%(E('u'),r.choice('+-*&|^'),E('u')),
          lambda:'(%s << (%s & 31))'%(E('u'),E('u')), lambda:'(%s >> (%s & 31))'%(E('u'),E('u')),
          lambda:'udiv(%s,%s)'%(E('u'),E('u')), lambda:'urem(%s,%s)'%(E('u'),E('u')),
          lambda:'(%s ? %s : %s)'%(cond(r,d-1),E('u'),E('u')),
          lambda:'(uint32_t)(%s)'%E('i'), lambda:'(uint32_t)(%s >> 7)'%E('l'), lambda:'(uint32_t)(uint8_t)(%s)'%E('u'),
          lambda:'(uint32_t)(int16_t)(%s)'%E('u'),lambda:'(uint32_t)(uint16_t)((uint16_t)(%s) * (uint16_t)(%s))'%(E('u'),E('u')),
          lambda:'fbits(%s)'%E('f'), lambda:'mulhi(%s,%s)'%(E('u'),E('u')), lambda:'pop(%s)'%E('u'), lambda:'clz(%s)'%E('u'),
          lambda:'rot(%s,%s)'%(E('u'),E('u')), lambda:'bx(%s,%d,%d)'%(E('u'),r.randint(0,20),r.randint(1,11)), lambda:'(~%s)'%E('u'),
          lambda:'f2u(%s)'%E('f'), lambda: 'umin(%s,%s)'%(E('u'),E('u')), lambda:'sw(%s,%s,%s)'%(E('u'),E('u'),E('u'))])()
    if t=='i':
        return r.choice([lambda:'(int)(%s)'%E('u'), lambda:'((int)(%s) >> (%s & 31))'%(E('u'),E('u')), lambda:'sdiv(%s,%s)'%(E('i'),E('i')),
          lambda:'f2i(%s)'%E('f'), lambda:'d2i(%s)'%E('d'), lambda:'(int)(int8_t)(%s)'%E('u'), lambda:'imin(%s,%s)'%(E('i'),E('i')), lambda:'iabs(%s)'%E('i'), lambda:'(int)(((int64_t)%s * %s) >> 16)'%(E('i'),E('i'))])()
    if t=='l':
        return r.choice([lambda:'(%s %s %s)'%(E('l'),r.choice('+-*&|^'),E('l')), lambda:'((uint64_t)%s * %s)'%(E('u'),E('u')), lambda:'(uint64_t)((int64_t)%s * %s)'%(E('i'),E('i')),
          lambda:'(%s << (%s & 63))'%(E('l'),E('u')), lambda:'(%s >> (%s & 63))'%(E('l'),E('u')), lambda:'(uint64_t)((int64_t)%s >> (%s & 63))'%(E('l'),E('u')),
          lambda:'uldiv(%s,%s)'%(E('l'),E('l')), lambda:'dbits(%s)'%E('d'), lambda:'(%s ? %s : %s)'%(cond(r,d-1),E('l'),E('l')), lambda:'lmulhi(%s,%s)'%(E('l'),E('l')), lambda:'f2l(%s)'%E('f'),lambda:'clzl(%s)'%E('l')])()
    if t=='f':
        return r.choice([lambda:'(%s %s %s)'%(E('f'),r.choice('+-*'),E('f')), lambda:'fmaf(%s,%s,%s)'%(E('f'),E('f'),E('f')), lambda:'(%s / %s)'%(E('f'),E('f')),
          lambda:'sqrtf(fabsf(%s))'%E('f'), lambda:'(float)(%s)'%E('d'), lambda:'(float)(%s)'%E('u'), lambda:'(float)(%s)'%E('i'), lambda:'(float)(%s)'%E('l'), lambda:'(float)(int64_t)(%s)'%E('l'),
          lambda:'(%s ? %s : %s)'%(cond(r,d-1),E('f'),E('f')), lambda:'%s(%s)'%(r.choice(['floorf','ceilf','truncf','rintf','fabsf','-']),E('f')), lambda:'fromb(%s)'%E('u'), lambda:'csg(%s,%s)'%(E('f'),E('f')), lambda:'fmn(%s,%s)'%(E('f'),E('f')), lambda:'fmx(%s,%s)'%(E('f'),E('f'))])()
    return r.choice([lambda:'(%s %s %s)'%(E('d'),r.choice('+-*'),E('d')), lambda:'fma(%s,%s,%s)'%(E('d'),E('d'),E('d')), lambda:'(%s / %s)'%(E('d'),E('d')), lambda:'sqrt(fabs(%s))'%E('d'),
          lambda:'(double)(%s)'%E('f'), lambda:'(double)(%s)'%E('l'), lambda:'(double)(int64_t)(%s)'%E('l'), lambda:'(double)(%s)'%E('u'), lambda:'%s(%s)'%(r.choice(['floor','ceil','trunc','rint','fabs','-']),E('d'))])()
def cond(r,d):
    t=r.choice('ulifd')
    c='(%s %s %s)'%(ex(r,t,d-1),r.choice(['<','<=','>','>=','==','!=']),ex(r,t,d-1))
    return c if r.random()<.7 or d<1 else '(%s %s %s)'%(c,r.choice(['&&','||']),cond(r,d-1))
PRE=r'''
#include <stdint.h>
#include <math.h>
#include <string.h>
#ifdef __CUDACC__
#define D static __device__ __forceinline__
#else
#define D static inline
#endif
D uint32_t udiv(uint32_t a,uint32_t b){return b?a/b:7;} D uint32_t urem(uint32_t a,uint32_t b){return b?a%b:9;}
D int sdiv(int a,int b){return (b==0||(a==(-2147483647-1)&&b==-1))?5:a/b;} D uint64_t uldiv(uint64_t a,uint64_t b){return b?a/b:11;}
D uint32_t fbits(float f){ if(f!=f) return 0x7fffffffu; uint32_t u; memcpy(&u,&f,4); return u;}
D uint64_t dbits(double f){ if(f!=f) return 0x7fffffffffffffffull; uint64_t u; memcpy(&u,&f,8); return u;}
D float fromb(uint32_t u){ float f; memcpy(&f,&u,4); return f;}
D uint32_t mulhi(uint32_t a,uint32_t b){return (uint32_t)(((uint64_t)a*b)>>32);}
D uint64_t lmulhi(uint64_t a,uint64_t b){
#ifdef __CUDACC__
return __umul64hi(a,b);
#else
return (uint64_t)(((unsigned __int128)a*b)>>64);
#endif
}
D uint32_t pop(uint32_t a){
#ifdef __CUDACC__
return __popc(a);
#else
return __builtin_popcount(a);
#endif
}
D uint32_t clz(uint32_t a){
#ifdef __CUDACC__
return __clz(a);
#else
return a?__builtin_clz(a):32;
#endif
}
D uint64_t clzl(uint64_t a){
#ifdef __CUDACC__
return __clzll(a);
#else
return a?__builtin_clzll(a):64;
#endif
}
D uint32_t rot(uint32_t a,uint32_t n){ n&=31; return n?(a<<n)|(a>>(32-n)):a; }
D uint32_t bx(uint32_t a,int p,int n){ return (a>>p)&((1u<<n)-1); }
D uint32_t umin(uint32_t a,uint32_t b){return a<b?a:b;} D int imin(int a,int b){return a<b?a:b;} D int iabs(int a){return a<0?(int)(0u-(uint32_t)a):a;}
D float fmn(float a,float b){ return a!=a?b:(b!=b?a:(a<b?a:b)); } D float fmx(float a,float b){ return a!=a?b:(b!=b?a:(a>b?a:b)); }
D float csg(float a,float b){ return copysignf(a, b!=b?1.0f:b); }
D int f2i(float f){ return (f>-2e9f&&f<2e9f)?(int)f:3; } D uint32_t f2u(float f){ return (f>=0.f&&f<4e9f)?(uint32_t)f:4; } D int d2i(double f){ return (f>-2e9&&f<2e9)?(int)f:3; } D uint64_t f2l(float f){ return (f>-9e18f&&f<9e18f)?(uint64_t)(int64_t)f:6; }
D uint32_t sw(uint32_t k,uint32_t a,uint32_t b){ switch(k%11){ case 0:return a+b; case 1:return a*3u; case 2:return a-b; case 3:return b^17u; case 4:return a&b; case 5:return a|b; case 6: a^=b; case 7: return a*b+1u; case 8: return ~a; case 9: return b<<3; default: return a>>5; } }
struct In{uint32_t a,b;uint64_t c;double y;float x;uint32_t p;};
'''
seed=int(sys.argv[1]); cnt=int(sys.argv[2]) if len(sys.argv)>2 else 80; n=256
r=random.Random(seed)
fs=[(r.choice('ulfd')) for _ in range(cnt)]
body=''
for i,t in enumerate(fs):
    e=ex(r,t,6); w={'u':'(uint64_t)(%s)','l':'(%s)','f':'(uint64_t)fbits(%s)','d':'dbits(%s)'}[t]%e
    body+='D uint64_t f%d(uint32_t a,uint32_t b,uint64_t c,float x,double y){ return %s; }\n'%(i,w)
cu=PRE+body+'''
#ifdef __CUDACC__
extern "C" __global__ void k(const In* in,uint64_t* out,int n){ int i=blockIdx.x*blockDim.x+threadIdx.x; if(i>=n) return; In v=in[i];
'''+''.join('out[(size_t)%d*n+i]=f%d(v.a,v.b,v.c,v.x,v.y);\n'%(i,i) for i in range(cnt))+'''}
#else
#include <stdio.h>
int main(int c,char**v){ static In in[%d]; FILE*f=fopen(v[1],"rb"); if(fread(in,sizeof(In),%d,f)!=%d) return 1; fclose(f); f=fopen(v[2],"wb");
'''%(n,n,n)+''.join('for(int i=0;i<%d;i++){uint64_t o=f%d(in[i].a,in[i].b,in[i].c,in[i].x,in[i].y); fwrite(&o,8,1,f);}\n'%(n,i) for i in range(cnt))+'fclose(f);}\n#endif\n'
b=work('f%d'%seed)
open(b+'.cu','w').write(cu); open(b+'.cpp','w').write(cu)
sp=[0,1,2,3,31,32,255,256,0x7fffffff,0x80000000,0xffffffff,0xfffffffe]
with open(b+'.in','wb') as f:
    for i in range(n):
        a=r.choice(sp) if r.random()<.4 else r.getrandbits(32); bb=r.choice(sp) if r.random()<.4 else r.getrandbits(32)
        c=r.choice([0,1,2**63,2**64-1,2**32,2**53+1]) if r.random()<.3 else r.getrandbits(64)
        x=struct.unpack('<f',struct.pack('<I',r.getrandbits(32)))[0] if r.random()<.4 else r.uniform(-1000,1000)
        y=struct.unpack('<d',struct.pack('<Q',r.getrandbits(64)))[0] if r.random()<.2 else r.uniform(-1e6,1e6)
        f.write(struct.pack('<IIQdfI',a,bb,c,y,x,0))
subprocess.run(['g++','-O1','-w','-ffp-contract=off','-fwrapv','-mfma',b+'.cpp','-o',b+'.exe'],check=True)
subprocess.run([b+'.exe',b+'.in',b+'.ref'],check=True)
ref=open(b+'.ref','rb').read()
tot=0
for tag,opt in (('O',['-arch=compute_80']),('G',['-arch=compute_75','-G'])):
    subprocess.run([NVCC,'-ptx','-std=c++17','-w','-fmad=false',*opt,b+'.cu','-o',b+tag+'.ptx'],check=True)
    p=run_kernel(b+tag+'.ptx','k',b+'.in',b+'.out',cnt*n*8,n)
    if p.returncode: print(seed,tag,'RUN FAILED',p.stderr[-600:]); tot+=cnt; continue
    out=open(b+'.out','rb').read()
    bad=0
    for i in range(cnt):
        for j in range(n):
            o=(i*n+j)*8
            if ref[o:o+8]!=out[o:o+8]:
                bad+=1
                if bad<=3: print(seed,tag,'f%d'%i,'input',j,'ref',ref[o:o+8][::-1].hex(),'got',out[o:o+8][::-1].hex()); print('   ',body.split('\n')[i][:400])
                break
    tot+=bad
print('seed',seed,cnt,'functions x',n,'inputs: bad functions',tot)
sys.exit(tot>0)
